"""The options of `produce` that are given override the settings, and only they."""

import pytest

from fraudstream.errors import UsageError
from fraudstream.settings import LACKS, ProducerSettings
from fraudstream.simulator.lacking import COLUMNS
from fraudstream.simulator.produce.options import ProduceOptions, with_options

SETTINGS = ProducerSettings(
    seed=5, events_per_second=70, late_rate=0.2, difficulty=0.4, scenario_difficulty={"card_testing": 0.8}
)


def test_without_options_the_settings_stay() -> None:
    assert with_options(SETTINGS, ProduceOptions()) == SETTINGS


def test_given_options_override_their_settings_even_when_they_are_zero() -> None:
    options = ProduceOptions(seed=0, events_per_second=300.0, late_rate=0.0, drift=0.0, customers=100)
    changed = {"seed": 0, "events_per_second": 300.0, "late_rate": 0.0, "drift": 0.0, "customers": 100}
    assert with_options(SETTINGS, options) == SETTINGS.model_copy(update=changed)


def test_a_difficulty_is_for_all_scenarios_or_for_one() -> None:
    found = with_options(SETTINGS, ProduceOptions(difficulty=["0.3", "bot_checkout=0.6"]))
    assert found.difficulty == 0.3
    assert found.scenario_difficulty == {"card_testing": 0.8, "bot_checkout": 0.6}
    assert SETTINGS.scenario_difficulty == {"card_testing": 0.8}


def test_each_part_that_a_shop_may_lack_can_be_left_out() -> None:
    assert tuple(COLUMNS) == LACKS
    assert with_options(SETTINGS, ProduceOptions(without=",".join(LACKS))).lacks == set(LACKS)
    assert SETTINGS.lacks == set()


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (ProduceOptions(difficulty=["card_testing=much"]), "--difficulty card_testing=much"),
        (ProduceOptions(difficulty=["1.5"]), r"--difficulty 1\.5: "),
        (ProduceOptions(without="device,shoes"), "--without device,shoes"),
        (ProduceOptions(events_per_second=-5.0), r"--events-per-second -5\.0: "),
    ],
)
def test_a_value_that_no_setting_may_have_is_refused_by_name(options: ProduceOptions, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        with_options(SETTINGS, options)
