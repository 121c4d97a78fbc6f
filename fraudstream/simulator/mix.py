"""The mix of frauds: the scenarios with their shares, which drift, and how hard their attacks are to see."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from fraudstream.errors import FraudstreamError
from fraudstream.settings import ProducerSettings
from fraudstream.simulator.columns import Array
from fraudstream.simulator.scenario import Scenario
from fraudstream.simulator.scenarios.account_takeover import AccountTakeover
from fraudstream.simulator.scenarios.bot_checkout import BotCheckout
from fraudstream.simulator.scenarios.card_testing import CardTesting
from fraudstream.simulator.scenarios.compromised_device import CompromisedDevice
from fraudstream.simulator.scenarios.friendly_fraud import FriendlyFraud
from fraudstream.simulator.scenarios.promo_abuse import PromoAbuse
from fraudstream.simulator.scenarios.stolen_card_spree import StolenCardSpree
from fraudstream.simulator.scenarios.triangulation import Triangulation
from fraudstream.simulator.sessions import LEGITIMATE
from fraudstream.simulator.times import WEEK_MS

#: The scenarios by their code in the columns, less 1. The shares sum to 1; even phases keep the drifts apart.
SCENARIOS: tuple[Scenario, ...] = (
    CardTesting("card_testing", share=0.22, phase=0.000),
    AccountTakeover("account_takeover", share=0.19, phase=0.125),
    BotCheckout("bot_checkout", share=0.16, phase=0.250),
    StolenCardSpree("stolen_card_spree", share=0.17, phase=0.375),
    PromoAbuse("promo_abuse", share=0.09, phase=0.500),
    FriendlyFraud("friendly_fraud", share=0.03, phase=0.625),
    Triangulation("triangulation", share=0.07, phase=0.750),
    CompromisedDevice("compromised_device", share=0.07, phase=0.875),
)

#: Names by the code in the columns: 0 is legitimate.
SCENARIO_NAMES = (LEGITIMATE, *(scenario.name for scenario in SCENARIOS))

#: Fashions return after so many weeks.
DRIFT_WEEKS = 8

_DEFAULTS = ProducerSettings()


class ScenarioError(FraudstreamError):
    """A scenario's name or setting is wrong."""


@dataclass(frozen=True)
class FraudMix:
    """Difficulty and drift of the frauds, whatever their rate.

    `difficulty`, 0 to 1, is the mean share of their traits that fraudsters hide; `by_scenario` sets it for some.
    `drift` is the strength of the change of the scenarios' shares over the weeks; 0: they stay.
    """

    difficulty: float = _DEFAULTS.difficulty
    drift: float = _DEFAULTS.drift
    by_scenario: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: ProducerSettings) -> Self:
        """The mix that `settings` ask for."""
        return cls(settings.difficulty, settings.drift, settings.scenario_difficulty)

    def difficulties(self) -> tuple[float, ...]:
        """One a scenario. Raises ScenarioError for a name that none has, or a difficulty out of range."""
        names = [scenario.name for scenario in SCENARIOS]
        for name, difficulty in {"all scenarios": self.difficulty, **self.by_scenario}.items():
            if name in self.by_scenario and name not in names:
                raise ScenarioError(f"difficulty of {name!r}: there is no such scenario; there are {', '.join(names)}")
            if not 0 <= difficulty <= 1:
                raise ScenarioError(f"difficulty {difficulty} of {name}: choose one from 0 to 1")
        return tuple(self.by_scenario.get(name, self.difficulty) for name in names)

    def shares(self, times_ms: Array) -> Array:
        """Each scenario's part of all fraud at `times_ms`: [scenarios, times], columns that sum to 1.

        The logarithm of a share swings by `drift` in a cycle of `DRIFT_WEEKS`, each scenario at its own phase.
        """
        usual = np.array([scenario.share for scenario in SCENARIOS])[:, None]
        phase = np.array([scenario.phase for scenario in SCENARIOS])[:, None]
        swing = np.sin(2 * np.pi * (np.asarray(times_ms, float)[None, :] / (DRIFT_WEEKS * WEEK_MS) + phase))
        weights = usual * np.exp(self.drift * swing)
        shares: Array = weights / weights.sum(axis=0)
        return shares
