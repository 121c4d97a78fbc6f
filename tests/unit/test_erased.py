"""An erased customer's profile leaves a bucket at the control message, and what was sent before is only counted."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from fraudstream.erasure.known import Erased
from fraudstream.erasure.rows import spellings
from fraudstream.messages.contracts import Topic
from fraudstream.messages.reasons import DeadLetterReason
from fraudstream.storage.salted import hash_of
from spark_jobs.bucket import Kind, Message, Outcome
from spark_jobs.profile_cache import ProfileCache
from tests.messages import NOW
from tests.unit.kept_log import KeptLog
from tests.unit.test_bucket import EUROS, LIMITS, browse, purchase

SALT = "a salt"
#: c-1 was erased a minute after NOW.
ERASED = Erased.of([(SALT, hash_of(SALT, "c-1"), NOW + timedelta(seconds=60))])


def control(offset: int, seconds: float) -> Message:
    return Message(Topic.BROWSE_EVENTS.value, 0, offset, int((NOW.timestamp() + seconds) * 1000), b"c-1", None)


def known_bucket() -> KeptLog:
    """A log that knows c-1, who bought, and c-2."""
    log = KeptLog()
    bucket = log.bucket(LIMITS, EUROS)
    list(bucket.handle([browse(0, 0), purchase(0, 10), browse(1, 0, customer_id="c-2")]))
    return log.after(bucket)


def handled(log: KeptLog, messages: list[Message], erased: Erased = ERASED) -> tuple[KeptLog, list[Outcome]]:
    bucket = log.bucket(LIMITS, EUROS, erased)
    outcomes = list(bucket.handle(messages))
    return log.after(bucket), outcomes


def test_the_control_message_takes_the_profile_out_of_state_and_log() -> None:
    before = known_bucket()
    after, (told,) = handled(before, [control(2, 70)])
    assert set(before.customers) == {"c-1", "c-2"}
    assert set(after.customers) == {"c-2"}
    assert b"c-1" not in b"".join(after.chunks)
    assert after.customers["c-2"] == before.customers["c-2"]
    assert (told.kind, told.reason, told.key, told.value) == (Kind.DEAD, DeadLetterReason.CUSTOMER_ERASED, None, None)


def test_a_bucket_whose_only_customer_is_erased_is_empty() -> None:
    log = KeptLog()
    bucket = log.bucket(LIMITS, EUROS)
    list(bucket.handle([purchase(0, 10)]))
    after, _ = handled(log.after(bucket), [control(2, 70)])
    assert (after.customers, after.chunks) == ({}, ())


def test_what_was_sent_before_the_erasure_is_counted_without_a_trace_and_makes_no_profile() -> None:
    after, outcomes = handled(KeptLog(), [browse(0, 0), purchase(1, 10), purchase(2, 20, customer_id="c-2")])
    assert [(o.kind, o.key, o.value, o.messages) for o in outcomes[:2]] == [(Kind.DEAD, None, None, 1)] * 2
    assert [o.kind for o in outcomes[2:]] == [Kind.TRANSACTION]
    assert set(after.customers) == {"c-2"}


def test_who_comes_back_is_a_new_customer_wherever_batches_end() -> None:
    back = [control(2, 70), purchase(1, 80, delay_s=80)]
    new = handled(KeptLog(), [purchase(1, 80, delay_s=80)])[1]
    together = handled(known_bucket(), back)
    first, _ = handled(known_bucket(), back[:1])
    apart = handled(first, back[1:])
    for log, outcomes in (together, apart):
        assert outcomes[-1].kind == Kind.TRANSACTION
        assert repr(outcomes[-1].features) == repr(new[-1].features)
        assert set(log.customers) == {"c-1", "c-2"}
    assert together[0].customers == apart[0].customers


def test_a_rebuild_passes_the_erased_over() -> None:
    """Messages that were accounted for with an earlier checkpoint change profiles only, and theirs none."""
    places = (Topic.BROWSE_EVENTS.value, Topic.TRANSACTIONS.value)
    rebuilding = LIMITS._replace(resume={(topic, 0): 100 for topic in places})
    bucket = KeptLog().bucket(rebuilding, EUROS, ERASED)
    messages = [browse(0, 0), purchase(1, 10), browse(1, 0, customer_id="c-2"), control(2, 70)]
    assert list(bucket.handle(messages)) == []
    assert set(KeptLog().after(bucket).customers) == {"c-2"}


def test_a_key_without_a_value_of_somebody_who_was_not_erased_is_refused_as_ever() -> None:
    _, (told,) = handled(known_bucket(), [control(2, 70)._replace(key=b"c-2")])
    assert (told.reason, told.key) == (DeadLetterReason.EMPTY_VALUE, b"c-2")


def test_the_cache_of_a_worker_lets_go(tmp_path: Path) -> None:
    before = known_bucket()
    cache = ProfileCache(tmp_path / "cache", 1 << 20)
    cache.fill(7, before.head.token, before.customers)
    bucket = before.bucket(LIMITS, EUROS, ERASED)
    list(bucket.handle([control(2, 70)]))
    change = bucket.change_of(before.head)
    cache.update(7, before.head.token, change)
    kept = cache.snapshot(7, change.head.token)
    assert kept is not None
    assert set(kept) == {"c-2"}
    kept.close()
    cache.close()


def test_of_several_erasures_the_newest_counts() -> None:
    later = datetime(2027, 1, 1, tzinfo=UTC)
    both = Erased.of([(SALT, hash_of(SALT, "c-1"), NOW), ("other", hash_of("other", "c-1"), later)])
    assert both.until("c-1") == int(later.timestamp() * 1000)
    assert both.until("c-2") is None


def test_an_id_is_looked_for_as_json_and_bytes_spell_it() -> None:
    assert spellings("c-1") == ["c-1"]
    assert spellings('ü"') == ['ü"', 'ü\\"', '\\u00fc\\"', '\\303\\274"']
