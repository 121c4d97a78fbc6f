"""What holds for any order of events: the profile can be stored any time, stays small and gives no nonsense."""

from math import isfinite, isnan

import pytest

from fraudstream.messages.contracts import BrowseEvent, Transaction
from model.features.columns import STATEFUL_COLUMNS
from model.features.observe import observe_browse, observe_transaction
from model.features.profile import Profile, decode_profile, encode_profile
from tests.unit.model_events import browse, purchase, random_events

SEEDS = range(8)
EVENTS = 400


def observe(profile: Profile, event: BrowseEvent | Transaction) -> bytes | None:
    """The features as text that shows every bit; None for a browsing event or a duplicate."""
    if isinstance(event, BrowseEvent):
        observe_browse(profile, event)
        return None
    values = observe_transaction(profile, event, 1.0)
    return None if values is None else repr([value.hex() for value in values]).encode()


@pytest.mark.parametrize("seed", SEEDS)
def test_storing_the_profile_anywhere_changes_no_bit(seed: int) -> None:
    events = random_events(seed, EVENTS)
    kept = Profile()
    stored = encode_profile(Profile())
    for event in events:
        loaded = decode_profile(stored)
        assert observe(loaded, event) == observe(kept, event)
        stored = encode_profile(loaded)
        assert decode_profile(stored) == loaded
    assert stored == encode_profile(kept)


@pytest.mark.parametrize("seed", SEEDS)
def test_values_are_finite_or_unknown_and_only_deviations_are_negative(seed: int) -> None:
    profile = Profile()
    for event in random_events(seed, EVENTS):
        if isinstance(event, BrowseEvent):
            observe_browse(profile, event)
            continue
        for name, value in zip(STATEFUL_COLUMNS, observe_transaction(profile, event, 1.0) or [], strict=False):
            assert isnan(value) or isfinite(value), name
            assert not value < 0 or name == "amount_deviation", name


@pytest.mark.parametrize("seed", SEEDS)
def test_a_profile_stays_bounded(seed: int) -> None:
    profile = Profile()
    for event in random_events(seed, 5 * EVENTS):
        observe(profile, event)
    assert len(encode_profile(profile)) < 1_800


def test_a_typical_profile_is_small() -> None:
    """Ten purchases in two months, each after a browse."""
    profile = Profile()
    for number in range(10):
        start = number * 6 * 86_400
        session = f"s-{number:032d}"
        for step in range(12):
            observe(profile, browse(start + 7 * step, product_id=f"p{step}", session_id=session))
        observe(profile, purchase(start + 100, session_id=session))
    assert len(encode_profile(profile)) < 740
