"""The plan of a history: its span of time in cells and parts, with the transactions that are asked for.

The span is cut into cells (the generator's unit) and parts (runs of cells, one file each). A part also has the cells
shortly before it, so that what began earlier and reaches into the part is in it. A history ends with whatever has begun
in it, so that its last hour is quiet; or, where the shop goes on, in the midst of business and with fewer purchases.
"""

from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

import numpy as np

from fraudstream.errors import FraudstreamError
from fraudstream.settings import Settings
from fraudstream.simulator.columns import Array
from fraudstream.simulator.generator import WINDOW_SHOPPERS, Cell
from fraudstream.simulator.lookalikes import Season
from fraudstream.simulator.mix import SCENARIOS, FraudMix
from fraudstream.simulator.scenario import MAX_LIFETIME_MS
from fraudstream.simulator.shop import Shop
from fraudstream.simulator.tables import DEFAULT_CURRENCY
from fraudstream.simulator.times import DAY_MS, HOUR_MS

LABEL_DELAY_DAYS = 5.0

_PART_TRANSACTIONS = 40_000
_MIN_PART_LIFETIMES = 4  # so that at most about a quarter is generated twice


class HistoryError(FraudstreamError):
    """A history can't be written as asked."""


@dataclass(frozen=True)
class HistoryPlan:
    """A history: `transactions` over `days` until `end` (UTC), labelled `label_delay_days` later on average."""

    seed: int
    customers: int
    products: int
    transactions: int
    fraud_rate: float
    days: float
    end: datetime
    mix: FraudMix = field(default_factory=FraudMix)
    season: Season = field(default_factory=Season)
    label_delay_days: float = LABEL_DELAY_DAYS
    currency: str = DEFAULT_CURRENCY
    lacks: frozenset[str] = frozenset()  # parts of its messages that the shop doesn't have
    goes_on: bool = False  # what is under way at the end is cut off there
    browsing: bool = True  # whether browse events are written, too

    @classmethod
    def of(
        cls,
        settings: Settings,
        *,
        transactions: int,
        days: float,
        end: datetime,
        label_delay_days: float,
        goes_on: bool = False,
    ) -> "HistoryPlan":
        """A history of the settings' shop. Raises HistoryError and ScenarioError."""
        producer = settings.producer
        return cls(
            seed=producer.seed,
            customers=producer.customers,
            products=producer.products,
            transactions=transactions,
            fraud_rate=producer.fraud_rate,
            days=days,
            end=end,
            mix=FraudMix.of(producer),
            label_delay_days=label_delay_days,
            currency=settings.shop.currency,
            lacks=producer.lacks,
            goes_on=goes_on,
        )

    def __post_init__(self) -> None:
        if self.transactions < 1:
            raise HistoryError(f"--transactions {self.transactions}: at least 1 is needed")
        if self.label_delay_days < 0:
            raise HistoryError(f"--label-delay-days {self.label_delay_days}: at least 0 is needed")
        self.mix.difficulties()  # raises ScenarioError before anything is written
        if not self.goes_on and self.days * DAY_MS < 4 * MAX_LIFETIME_MS:
            raise HistoryError(f"--days {self.days}: at least {4 * MAX_LIFETIME_MS / DAY_MS:.2f} are needed")

    @property
    def end_ms(self) -> int:
        """The end, ms since the epoch."""
        return int(self.end.timestamp() * 1000)

    @property
    def start_ms(self) -> int:
        """The start, ms since the epoch."""
        return self.end_ms - int(self.days * DAY_MS)

    @property
    def run(self) -> int:
        """The mark of the identifiers: the same plan gives the same, other starts give others."""
        return self.start_ms & (2**48 - 1)


@dataclass(frozen=True)
class Part:
    """A file's span of time, whether it has browse events, and the cells that reach into it."""

    number: int
    start_ms: int
    end_ms: int
    browsing: bool
    cells: tuple[Cell, ...]


def plan_parts(shop: Shop, plan: HistoryPlan) -> list[Part]:
    """The parts of a history, with exactly `plan.transactions` purchases, less what is cut off where it goes on."""
    cells = _plan_cells(shop, plan)
    span = plan.end_ms - plan.start_ms
    length = max(_MIN_PART_LIFETIMES * MAX_LIFETIME_MS, span * _PART_TRANSACTIONS // plan.transactions)
    first = np.linspace(0, len(cells), max(1, round(span / length)), endpoint=False).astype(int)
    edges = [*(cells[number].start_ms for number in first), plan.end_ms]
    return [
        Part(number, start, end, plan.browsing, tuple(cell for cell in cells if cell.reaches(start, end)))
        for number, (start, end) in enumerate(pairwise(edges))
    ]


def _plan_cells(shop: Shop, plan: HistoryPlan) -> list[Cell]:
    # Nothing begins in the last stretch that might not end before the history does.
    last_start = plan.end_ms - (0 if plan.goes_on else MAX_LIFETIME_MS)
    starts = np.arange(plan.start_ms, last_start, HOUR_MS)
    lengths = np.minimum(HOUR_MS, last_start - starts)
    rhythm = np.array([shop.visitors.size(int(start)) for start in starts]) * lengths
    rng = np.random.default_rng([plan.seed, 4, plan.start_ms])
    frauds = round(plan.transactions * plan.fraud_rate)
    difficulties = plan.mix.difficulties()
    shares = plan.mix.shares(starts)
    # Thieves keep to the shop's busy hours, half of the time.
    busy = 0.5 * rhythm / rhythm.sum() + 0.5 / len(rhythm)
    attacks = [
        _plan_attacks(rng, number, int(count), busy * shares[number])
        for number, count in enumerate(_apportion(frauds, shares @ busy))
    ]
    purchases = _apportion(plan.transactions - frauds, rhythm)
    visits = _apportion(round((plan.transactions - frauds) * WINDOW_SHOPPERS), rhythm)
    return [
        Cell(
            number=number,
            start_ms=int(starts[number]),
            length_ms=int(lengths[number]),
            purchases=int(purchases[number]),
            visits=int(visits[number]),
            attacks=tuple(size[cell == number] for size, cell in attacks),
            difficulties=difficulties,
            season=plan.season,
        )
        for number in range(len(starts))
    ]


def _plan_attacks(rng: np.random.Generator, scenario: int, frauds: int, weight: Array) -> tuple[Array, Array]:
    """Sizes of one scenario's attacks, `frauds` purchases in all, and the cell that each begins in, by `weight`."""
    size = SCENARIOS[scenario].sizes(rng, int(frauds / SCENARIOS[scenario].mean_size * 2) + 20)
    size = size[: int(np.searchsorted(np.cumsum(size), frauds)) + 1]
    size[-1] -= size.sum() - frauds
    size = size[size > 0]
    return size, rng.choice(len(weight), len(size), p=weight / weight.sum())


def _apportion(total: int, weight: Array) -> Array:
    """Splits `total` into whole numbers in proportion to `weight`."""
    edges: Array = np.round(np.cumsum(weight) / weight.sum() * total)
    return np.diff(edges, prepend=0).astype(np.int64)
