"""Adds analysts to Superset, in its environment: names as arguments, their one password on the standard input."""

import sys

from superset.app import create_app


def main() -> None:
    """Adds those of the names that aren't there."""
    password = sys.stdin.readline().strip()
    application = create_app()
    with application.app_context():
        from bootstrap import ANALYST_ROLE
        from superset.extensions import security_manager

        role = security_manager.find_role(ANALYST_ROLE)
        for name in sys.argv[1:]:
            if not security_manager.add_user(name, name, "Bench", f"{name}@localhost", role, password):
                raise SystemExit(f"Superset refused to add the user {name!r}")


if __name__ == "__main__":
    main()
