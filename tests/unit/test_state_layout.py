"""The encoding of the stream's state: a checkpoint of another one must be refused, which STATE_LAYOUT decides."""

import msgspec
import pytest

from model.features.profile import (
    PROFILE_LAYOUT,
    STATE_LAYOUT,
    History,
    Profile,
    Session,
    decode_profile,
    encode_profile,
    read_history,
    write_history,
)
from spark_jobs import change_log
from spark_jobs.change_log import Stored, decode_head, encode_head, encode_stored

#: An encoded profile (below), in hexadecimal, by its layout.
PROFILES = {
    2: (
        "92919da3732d3107cf0000019b76daa800cf0000019b76db9260950102030405cdea60ce6b49d200cd01f4cf800000000000"
        "000101cd7530c3cd05dcc4b6dc001b02cf0000019b71b44c00cf0000019b76db9260cd3039cd2710cb4012000000000000cb"
        "3fd0000000000000cb40238000000000000201cb404a400000000000cbc02a80000000000092ce69546780ce6955b93c92cd"
        "0929cd271092cfffffffffffffffff0192cd4fe5cd4fe692010192cd0929cd27109407ce69546780ce6955b93c029408ce69"
        "546780ce69546780019409ce6955b93cce6955b93c0191a2444591a2434892cd0929cd2710920b0c01920001"
    ),
}
#: A bucket with it: the head and the chunk of its log.
BUCKETS = {
    3: (
        "95cf0000019b76db964880c410a6f889b4f64384e4ccae4e523b4b6306cd010505",
        (
            "81a3632d3192cf0000019d46570000c4f492919da3732d3107cf0000019b76daa800cf0000019b76db9260950102030405cd"
            "ea60ce6b49d200cd01f4cf800000000000000101cd7530c3cd05dcc4b6dc001b02cf0000019b71b44c00cf0000019b76db92"
            "60cd3039cd2710cb4012000000000000cb3fd0000000000000cb40238000000000000201cb404a400000000000cbc02a8000"
            "0000000092ce69546780ce6955b93c92cd0929cd271092cfffffffffffffffff0192cd4fe5cd4fe692010192cd0929cd2710"
            "9407ce69546780ce6955b93c029408ce69546780ce69546780019409ce6955b93cce6955b93c0191a2444591a2434892cd09"
            "29cd2710920b0c01920001"
        ),
    ),
}
#: A bucket of layout 2, with the same customer.
BUCKET_2 = (
    "92cf0000019b76db964881a3632d3192cf0000019d46570000c4f492919da3732d3107cf0000019b76daa800cf0000019b76db92"
    "60950102030405cdea60ce6b49d200cd01f4cf800000000000000101cd7530c3cd05dcc4b6dc001b02cf0000019b71b44c00cf00"
    "00019b76db9260cd3039cd2710cb4012000000000000cb3fd0000000000000cb40238000000000000201cb404a400000000000cb"
    "c02a80000000000092ce69546780ce6955b93c92cd0929cd271092cfffffffffffffffff0192cd4fe5cd4fe692010192cd0929cd"
    "27109407ce69546780ce6955b93c029408ce69546780ce69546780019409ce6955b93cce6955b93c0191a2444591a2434892cd09"
    "29cd2710920b0c01920001"
)
#: The profile as releases before exchange rates wrote it in layout 2: without the fields about what has none.
BEFORE_RATES = (
    "92919da3732d3107cf0000019b76daa800cf0000019b76db9260950102030405cdea60ce6b49d200cd01f4cf8000000000000001"
    "01cd7530c3cd05dcc4b2dc001902cf0000019b71b44c00cf0000019b76db9260cd3039cd2710cb4012000000000000cb3fd00000"
    "00000000cb40238000000000000201cb404a400000000000cbc02a80000000000092ce69546780ce6955b93c92cd0929cd271092"
    "cfffffffffffffffff0192cd4fe5cd4fe692010192cd0929cd27109407ce69546780ce6955b93c029408ce69546780ce69546780"
    "019409ce6955b93cce6955b93c0191a2444591a2434892cd0929cd2710920b0c"
)
SESSION = Session(
    session_id="s-1", device=7, started=1_767_225_600_000, ended=1_767_225_660_000, events=[1, 2, 3, 4, 5],
    gap_sum=60_000, gap_squares=1_800_000_000, gap_min=500, seen=2**63 + 1, transactions=1, gap_max=30_000,
    on_item=True, item_ms=1_500,
)  # fmt: skip
HISTORY = History(
    transactions=2, first=1_767_139_200_000, last=1_767_225_660_000, cents=12_345, cents_max=10_000, log_mean=4.5,
    log_squares=0.25, pace_mean=9.75, pace_count=2, promos=1, latitude=52.5, longitude=-13.25,
    recent_times=[1_767_139_200, 1_767_225_660], recent_cents=[2_345, 10_000], recent_ids=[2**64 - 1, 1],
    days=[20_453, 20_454], day_counts=[1, 1], day_cents=[2_345, 10_000],
    devices=[7, 1_767_139_200, 1_767_225_660, 2], cards=[8, 1_767_139_200, 1_767_139_200, 1],
    places=[9, 1_767_225_660, 1_767_225_660, 1], shipping_countries=["DE"], ip_countries=["CH"],
    day_maxima=[2_345, 10_000], products=[11, 12], unpriced=1, day_unpriced=[0, 1],
)  # fmt: skip


@pytest.fixture
def profile() -> Profile:
    made = Profile(sessions=[SESSION])
    write_history(made, HISTORY)
    return made


def encoded_bucket(profile: Profile) -> tuple[bytes, bytes]:
    """A bucket's head and the only chunk of its log."""
    stored = encode_stored(Stored(1_775_001_600_000, encode_profile(profile)))
    head, (chunk,) = change_log.whole({"c-1": stored}, 1_767_225_661_000)
    return encode_head(msgspec.structs.replace(head, appended_bytes=5)), chunk


@pytest.mark.parametrize("fixed", [SESSION, HISTORY])
def test_the_golden_profile_uses_each_field(fixed: msgspec.Struct) -> None:
    for field in msgspec.structs.fields(fixed):
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        assert getattr(fixed, field.name) != default, f"give {field.name} a value here"


def test_the_encoding_is_that_of_its_layout(profile: Profile) -> None:
    for golden, layout in ((PROFILES, PROFILE_LAYOUT), (BUCKETS, STATE_LAYOUT)):
        assert layout in golden, f"add the golden bytes of layout {layout}, and leave the older ones out"
    assert encode_profile(profile).hex() == PROFILES[PROFILE_LAYOUT], "the encoding has changed: raise PROFILE_LAYOUT"
    assert tuple(part.hex() for part in encoded_bucket(profile)) == BUCKETS[STATE_LAYOUT], "raise STATE_LAYOUT"


def test_a_stored_profile_is_read_as_it_was(profile: Profile) -> None:
    stored = decode_profile(bytes.fromhex(PROFILES[PROFILE_LAYOUT]))
    assert stored == profile
    assert read_history(stored) == HISTORY


def test_a_profile_from_before_exchange_rates_is_read_as_one_whose_amounts_are_all_known() -> None:
    history = read_history(decode_profile(bytes.fromhex(BEFORE_RATES)))
    assert history == msgspec.structs.replace(HISTORY, unpriced=0, day_unpriced=[])


def test_a_bucket_of_the_layout_before_becomes_a_log() -> None:
    head = decode_head(bytes.fromhex(BUCKET_2))
    assert (head.clock_ms, head.token) == (1_767_225_661_000, b"")
    known = {customer: encode_stored(stored) for customer, stored in head.customers.items()}
    for changed in ({}, {"c-2": known["c-1"]}):
        change = change_log.change(head, known, changed, head.clock_ms, lambda _: False)
        assert change.is_whole
        assert change_log.read(change.head, change.chunks) == known | changed
        assert not decode_head(encode_head(change.head)).customers
