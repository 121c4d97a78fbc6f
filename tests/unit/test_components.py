"""Components of customers: whole where they are small, cut where they aren't, whatever the order of what is shared."""

from collections import defaultdict
from random import Random

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from fraudstream.static_data.components import components
from tests.unit import entity_refresh

NAMES = st.sampled_from([f"c{number}" for number in range(30)])
SHARED = st.lists(st.lists(NAMES, min_size=1, max_size=5, unique=True), max_size=25)


def as_sets(found: list[set[str]]) -> set[frozenset[str]]:
    return set(map(frozenset, found))


@given(SHARED)
def test_a_component_is_all_whom_a_plain_search_reaches(shared: list[list[str]]) -> None:
    uses = pd.DataFrame(
        [("device", f"d{number}", name) for number, names in enumerate(shared) for name in names],
        columns=["entity_type", "entity_id", "customer_id"],
    )
    expected = {frozenset(one) for one in entity_refresh.components(uses).values() if len(one) > 1}
    found = components(shared, 30)
    assert as_sets(found) == expected
    assert len(found) == len(expected)


@given(SHARED, st.integers(2, 12), st.randoms(use_true_random=False))
def test_none_is_larger_than_allowed_and_the_order_means_nothing(
    shared: list[list[str]], most: int, random: Random
) -> None:
    found = components(shared, most)
    counted: dict[str, int] = defaultdict(int)
    for component in found:
        assert 2 <= len(component) <= most
        for customer in component:
            counted[customer] += 1
    assert set(counted.values()) <= {1}
    shuffled = [random.sample(names, len(names)) for names in random.sample(shared, len(shared))]
    assert as_sets(components(shuffled, most)) == as_sets(found)


def test_what_most_share_is_left_out_first() -> None:
    point = [f"c{number}" for number in range(8)]
    shared = [point, ["c0", "c1"], ["c1", "c2"], ["c3", "x3"], ["c4", "x4"]]
    assert as_sets(components(shared, 7)) == as_sets([{"c0", "c1", "c2"}, {"c3", "x3"}, {"c4", "x4"}])
    assert as_sets(components(shared, 9)) == as_sets([{"c0", "c1", "c2"}, {"c3", "x3"}, {"c4", "x4"}])
    assert as_sets(components(shared, 10)) == as_sets([{*point, "x3", "x4"}])


def test_a_long_chain_is_of_no_component() -> None:
    """Each two share something: nothing tells where to cut it."""
    assert components([[f"c{number}", f"c{number + 1}"] for number in range(10)], 5) == []
