"""The mix of frauds: each scenario's share at a time, and how hard its attacks are to see."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from fraudstream.errors import FraudstreamError
from fraudstream.settings import ProducerSettings
from fraudstream.simulator.columns import Array
from fraudstream.simulator.scenarios import SCENARIOS
from fraudstream.simulator.times import WEEK_MS

#: Fashions return after so many weeks.
DRIFT_WEEKS = 8

_DEFAULTS = ProducerSettings()


class ScenarioError(FraudstreamError):
    """A scenario's name or setting is wrong."""


@dataclass(frozen=True)
class FraudMix:
    """How the frauds are made, whatever their rate.

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
