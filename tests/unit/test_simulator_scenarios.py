"""Each scenario does what its name says; difficulty hides it; the mix drifts; labels come when they should."""

import re
from typing import Any

import numpy as np
import pytest

from fraudstream.settings import PROJECT_DIR
from fraudstream.simulator.columns import Array
from fraudstream.simulator.generator import Cell, generate
from fraudstream.simulator.labels import SOURCES, label
from fraudstream.simulator.legitimate import own_device
from fraudstream.simulator.lookalikes import SECOND_THOUGHTS, Season, add_second_thoughts
from fraudstream.simulator.mix import DRIFT_WEEKS, SCENARIO_NAMES, SCENARIOS, FraudMix, ScenarioError
from fraudstream.simulator.scenario import MAX_ATTACK_MS
from fraudstream.simulator.sessions import PROMO_SHARES, BrowseEvents, Transactions
from fraudstream.simulator.shop import Shop, build_shop
from fraudstream.simulator.times import HOUR_MS, WEEK_MS

START_MS = 1_793_000_000_000
ATTACKS = 60


@pytest.fixture(scope="module")
def shop() -> Shop:
    return build_shop(42, 20_000, 1_000)


def attacked(shop: Shop, name: str, difficulty: float, start_ms: int = START_MS) -> tuple[BrowseEvents, Transactions]:
    """An hour in which nothing but 60 attacks of one scenario begin."""
    code = SCENARIO_NAMES.index(name) - 1
    none = np.zeros(0, np.int64)
    sizes = SCENARIOS[code].sizes(np.random.default_rng(1), ATTACKS)
    attacks = tuple(sizes if number == code else none for number in range(len(SCENARIOS)))
    return generate(shop, Cell(0, start_ms, HOUR_MS, 0, 0, attacks, (difficulty,) * len(SCENARIOS)))


def honest(
    shop: Shop, purchases: int = 5_000, start_ms: int = START_MS, **more: Any
) -> tuple[BrowseEvents, Transactions]:
    none = np.zeros(0, np.int64)
    attacks = (none,) * len(SCENARIOS)
    return generate(shop, Cell(0, start_ms, HOUR_MS, purchases, 0, attacks, (0.0,) * len(SCENARIOS), **more))


def places(rows: Transactions) -> Array:
    return rows.latitude * 1000 + rows.longitude


def away(shop: Shop, rows: Transactions) -> float:
    """Share of purchases that don't go to the customer's home."""
    return float((rows.latitude != shop.customers.latitude[rows.customer]).mean())


def per_session(events: BrowseEvents) -> float:
    return float(len(events) / len(np.unique(events.session)))


def gaps(events: BrowseEvents) -> Array:
    """Seconds between the events of a session."""
    order = np.lexsort((events.number, events.session))
    session, time = events.session[order], events.time[order]
    return (np.diff(time) / 1000)[np.diff(session) == 0]


def test_there_are_eight_named_scenarios_whose_shares_sum_to_one() -> None:
    assert SCENARIO_NAMES[1:] == (
        "card_testing", "account_takeover", "bot_checkout", "stolen_card_spree",
        "promo_abuse", "friendly_fraud", "triangulation", "compromised_device",
    )  # fmt: skip
    assert sum(scenario.share for scenario in SCENARIOS) == pytest.approx(1.0)


def test_the_documented_shares_are_those_of_the_table() -> None:
    text = (PROJECT_DIR / "docs/simulator.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\d+) % \|", text, re.MULTILINE)
    documented = {name: int(share) / 100 for name, share in rows}
    assert documented == {scenario.name: scenario.share for scenario in SCENARIOS}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_sizes_have_the_declared_mean(scenario: object) -> None:
    kind = next(each for each in SCENARIOS if each is scenario)
    sizes = kind.sizes(np.random.default_rng(5), 20_000)
    assert sizes.min() >= 1
    assert sizes.mean() == pytest.approx(kind.mean_size, rel=0.08)


@pytest.mark.parametrize("name", SCENARIO_NAMES[1:])
def test_the_same_seed_gives_the_same_attacks(shop: Shop, name: str) -> None:
    one, other = attacked(shop, name, 0.3), attacked(build_shop(42, 20_000, 1_000), name, 0.3)
    assert np.array_equal(one[0].time, other[0].time)
    for column in ("time", "customer", "device", "card", "amount"):
        assert np.array_equal(getattr(one[1], column), getattr(other[1], column))
    assert set(one[1].scenario) == {SCENARIO_NAMES.index(name)}
    assert set(one[0].scenario) == {SCENARIO_NAMES.index(name)}


def test_card_testing_is_many_small_amounts_on_many_cards(shop: Shop) -> None:
    _, rows = attacked(shop, "card_testing", 0.0)
    assert len(rows) / len(np.unique(rows.customer)) > 6
    assert np.median(rows.amount) < np.median(honest(shop)[1].amount)
    assert len(np.unique(rows.card)) / len(rows) > 0.6


def test_account_takeover_is_a_new_device_and_a_changed_address(shop: Shop) -> None:
    _, rows = attacked(shop, "account_takeover", 0.0)
    known = {int(own_device(np.array([c]), np.array([s]), np.array([START_MS]))[0])
             for c in np.unique(rows.customer) for s in range(3)}  # fmt: skip
    assert np.mean([int(device) in known for device in rows.device]) < 0.1
    assert away(shop, rows) > 0.85


def test_bot_checkout_has_pace_and_no_dwell(shop: Shop) -> None:
    bots, people = gaps(attacked(shop, "bot_checkout", 0.0)[0]), gaps(honest(shop)[0])
    assert np.median(bots) < 0.4 * np.median(people)
    assert np.std(np.log(bots)) < 0.8 * np.std(np.log(people))


def test_a_stolen_card_spree_is_dear_and_on_a_new_card(shop: Shop) -> None:
    _, rows = attacked(shop, "stolen_card_spree", 0.0)
    assert np.median(rows.amount) > 1.5 * np.median(honest(shop)[1].amount)
    assert len(rows) / len(np.unique(rows.customer)) > 2


def test_promo_abuse_links_little_used_accounts_by_device_and_address(shop: Shop) -> None:
    _, rows = attacked(shop, "promo_abuse", 0.0)
    assert np.isin(rows.customer, shop.dormant).all()
    assert len(np.unique(rows.device)) < 0.5 * len(np.unique(rows.customer))
    assert (rows.promo >= 0).mean() > 0.85
    assert np.array(PROMO_SHARES)[rows.promo[rows.promo >= 0]].mean() > 0.14


def test_friendly_fraud_looks_like_the_customers_own_purchase(shop: Shop) -> None:
    events, rows = attacked(shop, "friendly_fraud", 0.0)
    usual_events, usual = honest(shop)
    assert len(rows) == ATTACKS
    assert away(shop, rows) == pytest.approx(away(shop, usual), abs=0.15)
    assert np.median(gaps(events)) == pytest.approx(np.median(gaps(usual_events)), rel=0.25)
    assert per_session(events) == pytest.approx(per_session(usual_events), rel=0.3)


def test_triangulation_ships_for_many_customers_to_one_address(shop: Shop) -> None:
    events, rows = attacked(shop, "triangulation", 0.0)
    assert len(np.unique(rows.customer)) > 0.85 * len(rows)
    assert len(np.unique(places(rows))) < 0.4 * len(rows)
    assert ((rows.product >= 0).sum(axis=1) == 1).mean() > 0.95
    assert per_session(events) < 0.6 * per_session(honest(shop)[0])


def test_a_compromised_device_is_the_customers_own_and_hit_again(shop: Shop) -> None:
    _, rows = attacked(shop, "compromised_device", 0.0)
    zeros = np.zeros(len(rows), np.int64)
    assert (rows.device == own_device(rows.customer.astype(np.int64), zeros, rows.time)).all()
    _, later = attacked(shop, "compromised_device", 0.0, START_MS + 5 * HOUR_MS)
    assert np.isin(np.unique(later.device), rows.device).mean() > 0.4


@pytest.mark.parametrize("name", ["account_takeover", "stolen_card_spree", "compromised_device"])
def test_difficulty_hides_the_traits(shop: Shop, name: str) -> None:
    shares = [away(shop, attacked(shop, name, difficulty)[1]) for difficulty in (0.0, 0.5, 1.0)]
    assert shares[0] > shares[1] > shares[2]
    assert shares[2] == pytest.approx(away(shop, honest(shop)[1]), abs=0.15)


def test_a_difficulty_may_be_set_for_one_scenario() -> None:
    mix = FraudMix(difficulty=0.1, by_scenario={"card_testing": 0.9})
    assert mix.difficulties()[:2] == (0.9, 0.1)


@pytest.mark.parametrize(
    ("mix", "named"),
    [
        (FraudMix(by_scenario={"phishing": 0.5}), "phishing"),
        (FraudMix(difficulty=1.5), "1.5"),
        (FraudMix(by_scenario={"card_testing": -0.5}), "card_testing"),
    ],
)
def test_a_wrong_difficulty_is_refused_by_name(mix: FraudMix, named: str) -> None:
    with pytest.raises(ScenarioError, match=named):
        mix.difficulties()


def test_the_mix_drifts_over_the_weeks_and_always_sums_to_one() -> None:
    times = START_MS + np.arange(DRIFT_WEEKS) * WEEK_MS
    still, drifting = FraudMix(drift=0.0).shares(times), FraudMix(drift=0.5).shares(times)
    assert np.allclose(still, still[:, :1])
    assert np.allclose(drifting.sum(axis=0), 1)
    assert (drifting.max(axis=1) / drifting.min(axis=1)).min() > 1.5


def test_friendly_fraud_is_labelled_late_and_by_analysts_early(shop: Shop) -> None:
    _, friendly = attacked(shop, "friendly_fraud", 0.2)
    _, others = attacked(shop, "card_testing", 0.2)
    rows = Transactions.concat([friendly, others])
    labels = label(np.random.default_rng(3), rows, 1000.0)
    delay = labels.time - rows.time[labels.transaction]
    late = rows.scenario[labels.transaction] == SCENARIO_NAMES.index("friendly_fraud")
    assert labels.is_fraud.all()
    assert np.median(delay[late]) > 4 * np.mean(delay[~late])
    assert set(labels.source[late]) == {SOURCES.index("chargeback")}
    by_source = [np.mean(delay[~late & (labels.source == source)]) for source in range(3)]
    assert by_source[SOURCES.index("analyst")] < by_source[SOURCES.index("customer")] < by_source[0]
    assert np.mean(delay[~late]) == pytest.approx(1000, rel=0.15)


def test_a_flash_sale_sends_a_crowd_to_one_category(shop: Shop) -> None:
    hours = [START_MS + hour * HOUR_MS for hour in range(60)]
    crowded = []
    for start in hours:
        _, rows = honest(shop, 400, start)
        category = shop.catalogue.products.category[rows.product[:, 0]]
        crowded.append(np.bincount(category).max() / len(rows))
    assert max(crowded) > 2 * np.median(crowded)


def test_a_season_has_more_sales_and_presents(shop: Shop) -> None:
    usual, season = (honest(shop, season=season)[1] for season in (Season(0.0, 0.02), Season(1.0, 0.3)))
    assert away(shop, season) > away(shop, usual) + 0.2
    assert (season.promo >= 0).mean() > (usual.promo >= 0).mean() + 0.1


def test_families_share_an_address_a_device_and_a_card(shop: Shop) -> None:
    family = shop.customers.family
    members = np.flatnonzero(family != np.arange(len(family)))
    assert 0.15 < len(members) / len(family) < 0.25
    assert (shop.customers.latitude[members] == shop.customers.latitude[family[members]]).all()
    _, rows = honest(shop, 20_000)
    for column, shared in ((rows.device, 20), (rows.card, 5)):
        pairs = np.unique(np.stack([column, rows.customer.astype(np.uint64)])[:, column > 0], axis=1)
        users = np.unique(pairs[0], return_counts=True)[1]
        assert (users > 1).sum() > shared


def test_some_customers_buy_again_within_minutes() -> None:
    customer, start = np.arange(10_000), np.full(10_000, START_MS)
    again = add_second_thoughts(np.random.default_rng(1), customer, start, 8_000)
    assert len(again) / 8_000 == pytest.approx(SECOND_THOUGHTS, rel=0.2)
    assert (customer[again] != again).all()
    assert (start[again] > START_MS).all()
    assert (start[again] - START_MS).max() <= MAX_ATTACK_MS
    untouched = np.setdiff1d(np.arange(10_000), again)
    assert (customer[untouched] == untouched).all()
