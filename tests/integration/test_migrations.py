"""Migrations carry a filled database over: each on a database of its own, in the suite's server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import alembic.command
import psycopg
import pytest
from alembic.script import ScriptDirectory

from fraudstream.local.backup import DUMP, BackupError, back_up, replace_schema
from fraudstream.settings import Settings
from fraudstream.storage import migrate, roles
from fraudstream.storage.connect import connect
from tests.faults import rollups

Postgres = psycopg.Connection[Any]
DATABASE = "fraudstream_carried_over"


@pytest.fixture
def fresh(settings: Settings) -> Iterator[Settings]:
    """Settings of an empty database with the schema and no table."""
    pg = settings.postgres
    with connect(settings, pg.admin, "postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE} OWNER {pg.owner}")
    made = settings.model_copy(update={"postgres": pg.model_copy(update={"database": DATABASE})})
    roles.ensure_schema(made)
    yield made
    with connect(settings, pg.admin, "postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


def upgrade_to_before(settings: Settings, revision: str) -> str:
    """Returns the revision that the database has then."""
    configuration = migrate.configuration(settings)
    before = str(ScriptDirectory.from_config(configuration).get_revision(revision).down_revision)
    alembic.command.upgrade(configuration, before)
    return before


def newest(settings: Settings) -> str:
    with owner_of(settings) as connection:
        ((revision,),) = connection.execute("SELECT version_num FROM fraud.alembic_version").fetchall()
    return str(revision)


def owner_of(settings: Settings) -> Postgres:
    connection = connect(settings, settings.postgres.admin, autocommit=True)
    connection.execute("SET ROLE fraud_owner")
    return connection


TRANSACTION = """
INSERT INTO fraud.scored_transactions (transaction_id, customer_id, session_id, is_fraud, counted_in_sales, items,
    event_time, amount, currency, payment_method, promo_amount, shipping_fee, shipping_city, shipping_country,
    shipping_latitude, shipping_longitude, ip_country, device_id, fraud_score, threshold, reasons, model_version,
    scored_at, late, ingest_time, kafka_partition, kafka_offset, batch_id)
VALUES (%(name)s, %(customer)s, %(session)s, %(fraud)s, %(counted)s,
    '[{"product_id": "p", "quantity": 2, "unit_price": 5}]', '2026-03-01 12:00:03+00', 10, 'EUR', 'card', 0, 0,
    'Bern', 'CH', 1, 1, 'CH', 'd', 0.5, 0.5, '[]', 'm', now(), false, now(), 0, %(offset)s, 7)
"""
LABEL = """
INSERT INTO fraud.transaction_labels (transaction_id, is_fraud, source, labelled_at, ingest_time, kafka_partition,
    kafka_offset, batch_id) VALUES (%s, %s, 'analyst', %s, now(), 0, %s, 7)
"""


def test_sessions_become_a_customer_s_and_are_judged_anew(fresh: Settings) -> None:
    """As the stream left it before: a flagged session takes every customer's sales with its id, for ever."""
    upgrade_to_before(fresh, "0009")
    rows = [  # transaction, customer, session, decision, counted
        ("fraud", "c-1", "1", True, False),
        ("with the fraud", "c-1", "1", False, False),
        ("another's", "c-2", "1", False, False),
        ("dismissed", "c-1", "2", True, False),
        ("confirmed", "c-2", "3", False, False),
        ("cleared", "c-3", "4", False, False),
        ("ordinary", "c-4", "5", False, True),
    ]
    with owner_of(fresh) as connection:
        for offset, row in enumerate(rows):
            named = dict(zip(("name", "customer", "session", "fraud", "counted"), row, strict=True))
            connection.execute(TRANSACTION, named | {"offset": offset})
        labels = [("dismissed", False, 1), ("confirmed", True, 1), ("cleared", True, 1), ("cleared", False, 2)]
        for offset, (name, fraud, day) in enumerate(labels):
            connection.execute(LABEL, (name, fraud, f"2026-03-0{day}", offset))
        connection.execute("INSERT INTO fraud.flagged_sessions (session_id) VALUES ('1'), ('2'), ('3'), ('4')")
        connection.execute("INSERT INTO fraud.product_sales VALUES ('2026-03-01 12:00:00+00', 'p', 2, 10, 7)")

    migrate.migrate(fresh)
    with owner_of(fresh) as connection:
        sessions = connection.execute("SELECT customer_id, session_id FROM fraud.flagged_sessions ORDER BY 1, 2")
        assert sessions.fetchall() == [("c-1", "1"), ("c-2", "3")]
        counted = connection.execute("SELECT transaction_id FROM fraud.scored_transactions WHERE counted_in_sales")
        assert {name for (name,) in counted} == {"another's", "dismissed", "cleared", "ordinary"}
        (sold,) = connection.execute("SELECT units, revenue, batch_id FROM fraud.product_sales").fetchall()
        assert sold == (8, 40, 7)
        wrong = [found for found in rollups.differences(connection) if "sales" in found or "sessions" in found]
        assert wrong == []


def test_what_was_stored_before_exchange_rates_counts_as_it_did(fresh: Settings) -> None:
    """All amounts were taken for the shop currency; and no table is written anew, however large it is."""
    upgrade_to_before(fresh, "0013")
    files = "SELECT relname, relfilenode FROM pg_class WHERE relnamespace = 'fraud'::regnamespace AND relkind = 'r'"
    with owner_of(fresh) as connection:
        for offset, fraud in enumerate((True, False)):
            row = {"name": f"tx-{offset}", "customer": "c", "session": str(offset), "fraud": fraud}
            connection.execute(TRANSACTION, row | {"counted": not fraud, "offset": offset})
        connection.execute("INSERT INTO fraud.flagged_sessions (customer_id, session_id) VALUES ('c', '0')")
        connection.execute("INSERT INTO fraud.product_sales VALUES ('2026-03-01 12:00:00+00', 'p', 2, 10, 7)")
        connection.execute(
            "INSERT INTO fraud.fraud_counts (window_start, transactions, flagged, amount, flagged_amount) "
            "VALUES ('2026-03-01 12:00:00+00', 2, 1, 20, 10)"
        )
        before = dict(connection.execute(files).fetchall())
    migrate.migrate(fresh)
    with owner_of(fresh) as connection:
        assert before.items() <= dict(connection.execute(files).fetchall()).items()
        wrong = [found for found in rollups.differences(connection) if "sales" in found or "fraud_counts" in found]
        assert wrong == []
        assert connection.execute("SELECT DISTINCT exchange_rate FROM fraud.scored_transactions").fetchall() == [(1,)]
        for table in ("scored_transactions", "product_sales", "fraud_counts"):
            assert connection.execute(f"SELECT DISTINCT shop FROM fraud.{table}").fetchall() == [("main",)]
        alembic.command.downgrade(migrate.configuration(fresh), "-1")
        alembic.command.upgrade(migrate.configuration(fresh), "head")


def test_segments_and_alerts_are_made_from_the_rows_that_are_there(fresh: Settings) -> None:
    """An old row's window is an hour. A job of the code before, which wouldn't count segments, is replaced.

    The one that sums their sales replaces it, too.
    """
    former = upgrade_to_before(fresh, "0029")
    with owner_of(fresh) as connection:
        for offset, fraud in enumerate((True, False, False)):
            row = {"name": f"tx-{offset}", "customer": "c", "session": str(offset), "fraud": fraud}
            connection.execute(TRANSACTION, row | {"counted": not fraud, "offset": offset})
        connection.execute(
            "UPDATE fraud.scored_transactions SET event_time = now(), payment_method = NULL, exchange_rate = NULL "
            "WHERE transaction_id = 'tx-2'"
        )
        connection.execute(
            "INSERT INTO fraud.fraud_alerts (transaction_id, customer_id, event_time, amount, currency, fraud_score, "
            "reasons, model_version) VALUES ('tx-0', 'c', now(), 10, 'EUR', 1, '[]', 'm')"
        )
        connection.execute(
            "INSERT INTO fraud.stream_queries (query, epoch, driver, started_at, heartbeat_at) "
            "VALUES ('q', 4, 'd', now(), now())"
        )
    migrate.migrate(fresh)
    with owner_of(fresh) as connection:
        columns = "payment_method, decision, transactions, flagged, amount, unpriced, seconds"
        assert connection.execute(f"SELECT {columns} FROM fraud.segment_counts ORDER BY 1, 2".encode()).fetchall() == [
            ("", "allow", 1, 0, 0, 1, 900),
            ("card", "allow", 1, 0, 10, 0, 3600),
            ("card", "review", 1, 1, 10, 0, 3600),
        ]
        assert connection.execute("SELECT payment_method FROM fraud.fraud_alerts").fetchall() == [("card",)]
        assert connection.execute("SELECT epoch FROM fraud.stream_queries").fetchall() == [(6,)]
        functions = "SELECT string_agg(prosrc, '') FROM pg_proc WHERE proname IN ('erase_mentions', 'erase_customer')"
        ((now,),) = connection.execute(functions).fetchall()
        assert "'rescored_days', 'segment_counts'" in now
        alembic.command.downgrade(migrate.configuration(fresh), former)
        ((before,),) = connection.execute(functions).fetchall()
        assert before == now.replace(", 'segment_counts', 'segment_sales'", "").replace(
            "'review_probability', 'payment_method'", "'review_probability'"
        )
        alembic.command.upgrade(migrate.configuration(fresh), "head")


def test_sales_of_segments_are_summed_from_the_rows_that_are_there(fresh: Settings) -> None:
    """Old ones by the day, as retention would have them."""
    former = upgrade_to_before(fresh, "0033")
    with owner_of(fresh) as connection:
        for offset, fraud in enumerate((True, False, False, False)):
            row = {"name": f"tx-{offset}", "customer": "c", "session": str(offset), "fraud": fraud}
            connection.execute(TRANSACTION, row | {"counted": not fraud, "offset": offset})
        connection.execute(
            "UPDATE fraud.scored_transactions SET event_time = now(), payment_method = NULL, exchange_rate = NULL "
            "WHERE transaction_id = 'tx-3'"
        )
        connection.execute(
            "UPDATE fraud.scored_transactions SET event_time = event_time + interval '7 hours' "
            "WHERE transaction_id = 'tx-2'"
        )
    migrate.migrate(fresh)
    functions = "SELECT string_agg(prosrc, '') FROM pg_proc WHERE proname = 'erase_mentions'"
    with owner_of(fresh) as connection:
        columns = "product_id, shipping_country, payment_method, decision, units, revenue, seconds"
        assert connection.execute(
            f"SELECT {columns} FROM fraud.segment_sales ORDER BY seconds".encode()
        ).fetchall() == [
            ("p", "CH", "", "allow", 2, 0, 3600),
            ("p", "CH", "card", "allow", 4, 20, 86_400),
        ]
        ((now,),) = connection.execute(functions).fetchall()
        assert "'rescored_days', 'segment_counts', 'segment_sales'" in now
        wrong = [found for found in rollups.differences(connection) if "segment_sales" in found]
        assert wrong == []
        alembic.command.downgrade(migrate.configuration(fresh), former)
        ((before,),) = connection.execute(functions).fetchall()
        assert before == now.replace(", 'segment_sales'", "")
        alembic.command.upgrade(migrate.configuration(fresh), "head")


def test_a_backup_of_the_release_before_takes_the_place_of_a_newer_schema(fresh: Settings, tmp_path: Path) -> None:
    """The way back to a release: later migrations' tables go, and the way forth is open again."""
    upgrade_to_before(fresh, "0008")
    back_up(fresh, tmp_path / "backup", lambda _: None)
    migrate.migrate(fresh)
    ours = newest(fresh)

    broken = tmp_path / "broken.dump"
    dump = (tmp_path / "backup" / DUMP).read_bytes()
    broken.write_bytes(dump[:-10])
    with pytest.raises(BackupError, match=r"broken\.dump can't be restored: pg_restore: "):
        replace_schema(fresh, broken)
    assert newest(fresh) == ours

    replace_schema(fresh, tmp_path / "backup" / DUMP)
    assert newest(fresh) == "0007"
    migrate.migrate(fresh)
    migrate.check(fresh)
