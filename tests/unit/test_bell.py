"""The bell rings once a burst."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from spark_jobs.bell import WINDOW_SECONDS, Bell


def test_alerts_that_trickle_ring_no_bell() -> None:
    bell = Bell(5)
    assert [bell.rings(1, 20.0 * second) for second in range(100)] == [0] * 100


def test_a_burst_rings_once_and_again_while_it_lasts() -> None:
    bell = Bell(5)
    assert [bell.rings(2, second) for second in range(130)] == [
        {2: 6, 62: 120, 122: 120}.get(second, 0) for second in range(130)
    ]


def test_a_large_batch_rings_at_once() -> None:
    assert Bell(20).rings(300, 0) == 300
    assert Bell(20).rings(0, 0) == 0


@given(st.lists(st.tuples(st.floats(0, 30), st.integers(0, 40)), max_size=60), st.integers(1, 50))
def test_it_never_rings_twice_within_its_window(batches: list[tuple[float, int]], burst: int) -> None:
    bell, now, rang = Bell(burst), 0.0, []
    for pause, alerts in batches:
        now += pause
        if recent := bell.rings(alerts, now):
            assert recent >= burst
            rang.append(now)
    assert all(later - earlier >= WINDOW_SECONDS for earlier, later in pairwise(rang))
