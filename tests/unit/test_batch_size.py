"""A micro-batch is bounded by bytes when messages are large, and by the setting alone when they are not."""

from hypothesis import given
from hypothesis import strategies as st

from fraudstream.messages.validation import MAX_MESSAGE_BYTES
from spark_jobs.batch_size import ALWAYS_FIT, GROWTH, MAX_READ_BYTES, fitting

LIMIT = 20_000
USUAL_BYTES = 400


@given(st.integers(1, LIMIT), st.integers(1, MAX_MESSAGE_BYTES))
def test_a_backlog_of_any_one_size_stays_within_the_bytes(messages: int, size: int) -> None:
    for _ in range(10):
        messages = fitting(LIMIT, messages, messages * size)
        assert messages <= LIMIT
        assert messages * size <= MAX_READ_BYTES


def test_a_load_that_comes_suddenly_may_be_of_the_largest_messages() -> None:
    """After a start, and after the little that comes between."""
    for before in (0, 10, ALWAYS_FIT // GROWTH):
        assert fitting(LIMIT, before, before * USUAL_BYTES) * MAX_MESSAGE_BYTES <= MAX_READ_BYTES


def test_usual_messages_come_as_many_as_the_setting_allows_after_three_micro_batches() -> None:
    messages, sizes = 0, []
    for _ in range(4):
        messages = fitting(LIMIT, messages, messages * USUAL_BYTES)
        sizes.append(messages)
    assert sizes == [1024, 4096, 16_384, LIMIT]


def test_a_small_limit_holds() -> None:
    assert fitting(100, 0, 0) == fitting(100, 100, 100 * USUAL_BYTES) == fitting(100, 100, MAX_READ_BYTES * 2) == 100
