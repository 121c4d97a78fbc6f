"""Functions of PostgreSQL by which a SELECT does more than read: taken from every role but those at work.

PostgreSQL lets everybody execute these. They run SQL that they are given as text, change the session's limits, wait,
hold locks, end other sessions of the same role, or write large objects.
"""

from typing import Any

from psycopg import Connection
from psycopg.sql import SQL, Identifier

from fraudstream.settings import PostgresSettings

Postgres = Connection[tuple[Any, ...]]

#: Names, as regular expressions: what PostgreSQL 14 to 18 have, and what extensions add.
DANGEROUS = (
    "ts_stat|ts_rewrite",
    "(query|cursor|table|schema|database)_to_xml(|schema|_and_xmlschema)",
    "pg_sleep(|_for|_until)",
    "set_config",
    "pg_(try_)?advisory_.*",
    "pg_(cancel|terminate)_backend",
    "pg_notify",
    "pg_export_snapshot",
    "lo_.*|loread|lowrite",
    "dblink.*",
    "crosstab.*|connectby|xpath_table",
    "pg_logical_emit_message",
)
_OPEN = """
SELECT p.oid::regprocedure::text FROM pg_proc AS p
WHERE p.proname ~ %s AND p.prokind = 'f' AND EXISTS (
    SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS acl
    WHERE acl.grantee = 0 AND acl.privilege_type = 'EXECUTE'
)
ORDER BY 1
"""


def open_to_all(connection: Postgres) -> list[str]:
    """Signatures of those that every role of this database may execute."""
    return [signature for (signature,) in connection.execute(_OPEN, (f"^({'|'.join(DANGEROUS)})$",))]


def restrict(connection: Postgres, pg: PostgresSettings) -> None:
    """Takes them from PUBLIC in this database, and gives them to owner, writer and reader.

    Only a superuser can. As another role it does nothing, and `doctor --security` warns.
    """
    is_superuser = connection.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()
    if is_superuser != (True,):
        return
    at_work = SQL(", ").join(map(Identifier, (pg.owner, pg.writer, pg.reader)))
    for signature in open_to_all(connection):
        function = SQL(signature)  # as the catalog quotes it
        connection.execute(SQL("REVOKE EXECUTE ON FUNCTION {} FROM PUBLIC").format(function))
        connection.execute(SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(function, at_work))
