"""A pooler before your own Postgres: one that shares sessions is refused in one line, one that doesn't is as good."""

from collections.abc import Iterator

import pytest

from fraudstream.dead_letters.rows import DeadLetterRows
from fraudstream.errors import FraudstreamError, RefusedError
from fraudstream.local import doctor, up
from fraudstream.settings import Settings
from fraudstream.storage import pooler
from fraudstream.storage.connect import connect, session
from spark_jobs.database import Database
from tests.postgres_pooler import pooled


@pytest.fixture
def sharing(settings: Settings) -> Iterator[Settings]:
    """The suite's Postgres behind a pooler in transaction mode."""
    with pooled(settings, "transaction") as behind:
        yield behind


@pytest.fixture
def keeping(settings: Settings) -> Iterator[Settings]:
    """The suite's Postgres behind a pooler in session mode."""
    with pooled(settings, "session") as behind:
        yield behind


def _told(settings: Settings, role: str, database: str) -> str:
    pg = settings.postgres
    return (
        f"Postgres at 127.0.0.1:{pg.port} gives {role} in database {database} no session of its own, since a pooler "
        "shares them among transactions: have it pool sessions for our roles (PgBouncer: pool_mode=session), or set "
        "FRAUDSTREAM_POSTGRES__HOST and __PORT to the server itself"
    )


def test_without_sessions_one_connection_sees_anothers_temporary_tables_and_locks(sharing: Settings) -> None:
    """What a refusal is for, and the proof that the tests' pooler is one."""
    writer = sharing.postgres.writer
    with connect(sharing, writer, autocommit=True) as one, connect(sharing, writer, autocommit=True) as other:
        one.execute("CREATE TEMPORARY TABLE staged AS SELECT 1 AS message")
        assert other.execute("SELECT message FROM staged").fetchone() == (1,)
        for connection in (one, other):
            assert connection.execute("SELECT pg_try_advisory_lock(7)").fetchone() == (True,)


def test_the_stream_refuses_to_start(sharing: Settings) -> None:
    with pytest.raises(RefusedError) as refused:
        Database(sharing)
    assert str(refused.value) == _told(sharing, "fraud_writer", sharing.postgres.database)


def test_up_refuses_before_it_makes_a_role(sharing: Settings) -> None:
    with pytest.raises(FraudstreamError) as refused:
        up.Up(sharing).postgres(lambda _: None)
    assert str(refused.value) == _told(sharing, "postgres", "postgres")


def test_doctor_says_it_once(sharing: Settings) -> None:
    assert list(doctor.find_server_problems(sharing)) == [_told(sharing, "postgres", "postgres")]


def test_a_replay_of_dead_letters_is_refused(sharing: Settings) -> None:
    with pytest.raises(RefusedError, match="gives fraud_writer in database"):
        DeadLetterRows(sharing)


def test_a_pooler_that_has_several_idle_sessions_is_recognised(sharing: Settings) -> None:
    """They are given in another order then."""
    writer, opened = sharing.postgres.writer, [connect(sharing, sharing.postgres.writer) for _ in range(4)]
    for connection in opened:
        connection.execute("SELECT 1")  # a transaction, which takes a session
    for connection in opened:
        connection.rollback()
    with pytest.raises(pooler.TransactionPoolerError):
        pooler.refuse(sharing, writer)
    for connection in opened:
        connection.close()


def test_behind_a_pooler_of_sessions_all_is_as_ever(keeping: Settings) -> None:
    assert list(doctor.find_server_problems(keeping)) == []
    up.Up(keeping).postgres(lambda _: None)
    Database(keeping).now().close()
    with session(keeping, keeping.postgres.reader, name="a test", begins_with={"statement_timeout": "7s"}) as reader:
        assert reader.execute("SHOW statement_timeout").fetchone() == ("7s",)


def test_a_server_without_a_pooler_is_none(settings: Settings) -> None:
    direct = settings.model_copy(update={"postgres": settings.postgres.model_copy(update={"host": "127.0.0.1"})})
    assert list(doctor.find_server_problems(direct)) == []
