"""PostgreSQL: who gets in and how, and whether roles have what was declared and no more."""

from collections.abc import Iterator
from pathlib import Path

import psycopg

from fraudstream.local.security.finding import Finding, failed, ok, unchecked, warning
from fraudstream.local.security.listeners import is_loopback
from fraudstream.settings import Settings
from fraudstream.storage import functions, grants, roles
from fraudstream.storage.connect import PostgresUnavailableError, connect, first_line
from fraudstream.storage.grants import Postgres

METHODS = frozenset({"scram-sha-256", "reject"})
#: Addresses of pg_hba.conf that are this machine's; the local socket has none.
LOCAL_ADDRESSES = frozenset({"127.0.0.1/32", "::1/128", "samehost", "localhost"})
PUT_RIGHT = "./fraudctl up puts it right"

_ATTRIBUTES = """
SELECT rolname, array_remove(ARRAY[
    CASE WHEN rolsuper THEN 'SUPERUSER' END, CASE WHEN rolcreaterole THEN 'CREATEROLE' END,
    CASE WHEN rolcreatedb THEN 'CREATEDB' END, CASE WHEN rolreplication THEN 'REPLICATION' END,
    CASE WHEN rolbypassrls THEN 'BYPASSRLS' END], NULL), rolcanlogin, rolconnlimit, coalesce(rolconfig, '{}')
FROM pg_roles WHERE rolname = ANY(%s)
"""
_MEMBERSHIPS = """
SELECT member.rolname, role.rolname FROM pg_auth_members AS m
JOIN pg_roles AS member ON member.oid = m.member JOIN pg_roles AS role ON role.oid = m.roleid
WHERE member.rolname = ANY(%s)
"""
#: Rights on the platform's database and its schemas, those of owners and superusers aside.
_ENTRY = """
SELECT coalesce(role.rolname, 'PUBLIC'), acl.privilege_type, 'database ' || datname
FROM pg_database CROSS JOIN LATERAL aclexplode(coalesce(datacl, acldefault('d', datdba))) AS acl
LEFT JOIN pg_roles AS role ON role.oid = acl.grantee
WHERE datname = current_database() AND acl.grantee <> datdba AND NOT coalesce(role.rolsuper, false)
UNION ALL
SELECT coalesce(role.rolname, 'PUBLIC'), acl.privilege_type, 'schema ' || nspname
FROM pg_namespace CROSS JOIN LATERAL aclexplode(nspacl) AS acl
LEFT JOIN pg_roles AS role ON role.oid = acl.grantee
WHERE nspname IN ('fraud', 'public') AND acl.grantee <> nspowner AND NOT coalesce(role.rolsuper, false)
"""


def check_access(settings: Settings) -> Iterator[Finding]:
    """Everybody must show a password, by SCRAM; of the embedded server, from this machine only."""
    pg = settings.postgres
    if pg.embedded:
        yield from _host_rules(settings.paths.postgres / "pg_hba.conf")
        return
    try:
        with connect(settings, pg.reader) as connection:
            encrypted = connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
    except PostgresUnavailableError as error:
        yield unchecked(f"PostgreSQL at {pg.host}:{pg.port} doesn't let us in ({error.said})")
        return
    if is_loopback(pg.host):
        yield ok(f"PostgreSQL at {pg.host}:{pg.port} is on this machine")
    elif encrypted == (True,):
        yield ok(f"the connection to {pg.host}:{pg.port} is encrypted")
    else:
        yield warning(
            f"the connection to {pg.host}:{pg.port} isn't encrypted",
            "switch on ssl on the server, and export PGSSLMODE=verify-full and PGSSLROOTCERT before ./fraudctl up",
        )
    yield unchecked(
        f"pg_hba.conf of {pg.host} is its administrator's", "have it require scram-sha-256 over TLS (hostssl)"
    )


def _host_rules(file: Path) -> Iterator[Finding]:
    if not file.is_file():
        yield unchecked(f"{file} doesn't exist yet", "run ./fraudctl up")
        return
    rules = [line.split() for line in file.read_text().splitlines() if line.strip() and not line.startswith("#")]
    problems = []
    for rule in rules:
        address, method = (None, rule[3]) if rule[0] == "local" else (rule[3], rule[4])
        shown = " ".join(rule)
        if method not in METHODS:
            problems.append(failed(f"{file} lets in by {method!r}: {shown}", "make its last word scram-sha-256"))
        if address and address not in LOCAL_ADDRESSES:
            problems.append(failed(f"{file} lets in other machines: {shown}", "delete the line"))
    yield from problems
    if not problems:
        yield ok(f"{len(rules)} rules of pg_hba.conf ask for a password by SCRAM, from this machine only")


def check_roles(settings: Settings) -> Iterator[Finding]:
    """Roles are as `fraudstream.storage.roles` and `grants` declare them: no more powers, rights or members."""
    try:
        with connect(settings, settings.postgres.reader) as connection:
            problems = [
                *_attributes(connection, settings),
                *_memberships(connection, settings),
                *_entry(connection, settings),
                *_functions(connection),
                *(failed(difference, PUT_RIGHT) for difference in grants.differences(connection, settings.postgres)),
            ]
    except psycopg.Error as error:
        yield unchecked(f"the roles can't be read: {first_line(error)}", "look again after ./fraudctl up")
        return
    yield from problems
    if not problems:
        declared = len(grants.declared(settings.postgres))
        yield ok(f"owner, writer, reader, charts and desk have the {declared} declared rights, no more")


def _attributes(connection: Postgres, settings: Settings) -> Iterator[Finding]:
    pg = settings.postgres
    rows = connection.execute(_ATTRIBUTES, ([pg.owner, pg.writer, pg.reader, pg.charts, pg.desk],)).fetchall()
    limits = roles.limits(pg)
    for role, powers, may_sign_in, limit, configured in rows:
        for power in powers:
            yield failed(f"role {role} has {power}", f"ALTER ROLE {role} NO{power}")
        if role == pg.owner and may_sign_in:
            yield failed(f"role {role}, which owns the schema, can sign in", f"ALTER ROLE {role} NOLOGIN")
        if role not in limits:
            continue
        wanted, begins_with = limits[role]
        if limit != wanted:
            yield failed(f"role {role} may take {limit} connections, not {wanted}", PUT_RIGHT)
        missing = {f"{name}={value}" for name, value in begins_with.items()} - set(configured)
        for setting in sorted(missing):
            yield failed(f"sessions of {role} don't begin with {setting}", PUT_RIGHT)


def _memberships(connection: Postgres, settings: Settings) -> Iterator[Finding]:
    pg = settings.postgres
    for member, role in connection.execute(_MEMBERSHIPS, ([pg.writer, pg.reader, pg.charts, pg.desk],)).fetchall():
        yield failed(f"role {member} is a member of {role}, with its rights", f"REVOKE {role} FROM {member}")


def _functions(connection: Postgres) -> Iterator[Finding]:
    if open_ones := functions.open_to_all(connection):
        shown = ", ".join(open_ones[:3]) + (", …" if len(open_ones) > 3 else "")
        yield warning(
            f"{len(open_ones)} functions that run SQL, wait or lock are open to every role, Superset's too: {shown}",
            "./fraudctl up revokes them when it signs in as a superuser; else have the server's administrator do it",
        )


def _entry(connection: Postgres, settings: Settings) -> Iterator[Finding]:
    pg = settings.postgres
    allowed = {(role, right) for role in (pg.writer, pg.reader, pg.charts, pg.desk) for right in ("CONNECT", "USAGE")}
    allowed.add((pg.writer, "TEMPORARY"))
    for role, right, place in connection.execute(_ENTRY).fetchall():
        if (role, right) not in allowed:
            yield failed(
                f"{role} has {right} on {place}", PUT_RIGHT if role == "PUBLIC" else f"REVOKE {right} FROM {role}"
            )
