"""`python -m fraudstream.cli`: the command line. Ctrl-C is quiet, also while modules are still being read."""

import sys


def run() -> None:
    """Runs the command line."""
    try:
        from fraudstream.cli.main import main

        main()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    run()
