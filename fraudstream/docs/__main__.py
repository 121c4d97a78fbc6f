"""`python -m fraudstream.docs`: writes the generated pages and sections of docs/, or says which are stale."""

from typing import Annotated

import typer

from fraudstream.docs.pages import stale
from fraudstream.settings import PROJECT_DIR


def main(
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit status 1 when a file is stale.")] = False,
) -> None:
    """Write the generated pages and sections of docs/ from the code that they describe.

    Examples:
      python -m fraudstream.docs

      python -m fraudstream.docs --check
    """
    found = stale()
    for path, text in found.items():
        typer.echo(f"{'stale' if check else 'written'}: {path.relative_to(PROJECT_DIR)}")
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    raise typer.Exit(1 if check and found else 0)


if __name__ == "__main__":
    typer.run(main)
