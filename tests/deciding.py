"""An analyst's verdict on the alert that is the first argument, by the desk's own code and role: fraud."""

import sys

from sqlalchemy import create_engine

from fraudstream import failpoints
from fraudstream.settings import load_settings
from tests.desk import decisions


def main() -> None:
    """Decides."""
    settings = load_settings()
    failpoints.arm(settings.stream.failpoints)
    engine = create_engine(settings.dsn(settings.postgres.desk, driver="+psycopg"))
    with engine.begin() as connection:
        decisions.decide(connection, decisions.Judged(sys.argv[1], 0), "fraud", "not_given", "alice")


if __name__ == "__main__":
    main()
