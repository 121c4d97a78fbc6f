"""Which frauds there are at a time, and how hard they are to see."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from fraudstream.errors import FraudstreamError
from fraudstream.simulator.columns import Array
from fraudstream.simulator.scenarios.base import Scenario

WEEK_MS = 7 * 86_400_000
#: Fashions return after so many weeks.
DRIFT_WEEKS = 8

DEFAULT_DIFFICULTY = 0.1
DEFAULT_DRIFT = 0.5


class ScenarioError(FraudstreamError):
    """A scenario's name or setting is wrong."""


@dataclass(frozen=True)
class FraudMix:
    """How the frauds are made, whatever their rate.

    `difficulty`, 0 to 1, is the mean share of their traits that fraudsters hide; `by_scenario` sets it for some.
    `drift` is the strength of the change of the scenarios' shares over the weeks; 0: they stay.
    """

    difficulty: float = DEFAULT_DIFFICULTY
    drift: float = DEFAULT_DRIFT
    by_scenario: Mapping[str, float] = field(default_factory=dict)

    def difficulties(self, scenarios: tuple[Scenario, ...]) -> tuple[float, ...]:
        """One a scenario. Raises ScenarioError for a name that none has, or a difficulty out of range."""
        names = [scenario.name for scenario in scenarios]
        for name, difficulty in {"all scenarios": self.difficulty, **self.by_scenario}.items():
            if name in self.by_scenario and name not in names:
                raise ScenarioError(f"difficulty of {name!r}: there is no such scenario; there are {', '.join(names)}")
            if not 0 <= difficulty <= 1:
                raise ScenarioError(f"difficulty {difficulty} of {name}: choose one from 0 to 1")
        return tuple(self.by_scenario.get(name, self.difficulty) for name in names)

    def shares(self, scenarios: tuple[Scenario, ...], times_ms: Array) -> Array:
        """Each scenario's part of all fraud at `times_ms`: [scenarios, times], columns that sum to 1.

        The logarithm of a share swings by `drift`, each scenario at its own phase of `DRIFT_WEEKS`.
        """
        usual = np.array([scenario.share for scenario in scenarios])[:, None]
        phase = np.arange(len(scenarios))[:, None] / len(scenarios)
        swing = np.sin(2 * np.pi * (np.asarray(times_ms, float)[None, :] / (DRIFT_WEEKS * WEEK_MS) + phase))
        weights = usual * np.exp(self.drift * swing)
        shares: Array = weights / weights.sum(axis=0)
        return shares
