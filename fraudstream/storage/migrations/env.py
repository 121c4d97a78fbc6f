"""Alembic's entry: connects as the administrator and works as the schema's owner."""

from alembic import context
from sqlalchemy import NullPool, create_engine, text

from fraudstream.settings import Settings
from fraudstream.storage.tables import SCHEMA, metadata


def _run(settings: Settings) -> None:
    url = settings.dsn(settings.postgres.admin, driver="+psycopg")
    with create_engine(url, poolclass=NullPool).connect() as connection:
        quote = connection.dialect.identifier_preparer.quote
        connection.execute(text(f"SET ROLE {quote(settings.postgres.owner)}"))
        connection.commit()
        context.configure(
            connection=connection,
            target_metadata=metadata,
            include_schemas=True,
            include_name=lambda name, kind, _: name == SCHEMA if kind == "schema" else True,
            version_table_schema=SCHEMA,
            compare_server_default=True,
        )
        with context.begin_transaction():
            context.run_migrations()


_run(context.config.attributes["settings"])
