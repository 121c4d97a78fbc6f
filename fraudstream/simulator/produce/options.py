"""The options of `produce`, and the settings with those that are given."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from fraudstream.errors import UsageError
from fraudstream.messages.contracts import TYPED_TIME_FORMATS
from fraudstream.settings import LACKS, ProducerSettings
from fraudstream.simulator.history_plan import LABEL_DELAY_DAYS


def _fault_option(how: str) -> Any:
    return typer.Option(min=0, max=0.25, help=f"Live: share of events that are sent {how}.")


@dataclass(frozen=True)
class ProduceOptions:
    """One field an option. None: not given. A field that `ProducerSettings` has, too, overrides it."""

    events_per_second: Annotated[
        float | None, typer.Option("--rate", "--events-per-second", help="Browse events and transactions a second.")
    ] = None
    fraud_rate: Annotated[float | None, typer.Option(min=0, max=0.5, help="Share of fraud among transactions.")] = None
    duration: Annotated[float, typer.Option(min=0, help="Stop after so many seconds; 0: when told to.")] = 0.0
    events: Annotated[int, typer.Option(min=0, help="Stop after so many events; 0: when told to.")] = 0
    seed: Annotated[int | None, typer.Option(min=0, help="The same seed makes the same shop.")] = None
    customers: Annotated[int | None, typer.Option(min=100, help="Customers of the shop.")] = None
    products: Annotated[int | None, typer.Option(min=50, help="Products of the shop.")] = None
    start: Annotated[
        datetime | None,
        typer.Option(
            formats=TYPED_TIME_FORMATS, help="UTC time of the first event, for output that repeats; else now."
        ),
    ] = None
    out: Annotated[Path | None, typer.Option(help="Write a history (Parquet) into this folder, not to Kafka.")] = None
    transactions: Annotated[int, typer.Option(min=1, help="With --out: transactions to write.")] = 1_000_000
    days: Annotated[float, typer.Option(help="With --out: days that the history spans.")] = 60.0
    label_delay_days: Annotated[float, typer.Option(help="With --out: mean days until fraud is labelled.")] = (
        LABEL_DELAY_DAYS
    )
    difficulty: Annotated[
        list[str] | None,
        typer.Option(metavar="[SCENARIO=]0..1", help="Share of their traits that fraudsters hide; repeat for several."),
    ] = None
    drift: Annotated[
        float | None, typer.Option(min=0, max=3, help="How much the scenarios' shares change over 8 weeks; 0: not.")
    ] = None
    without: Annotated[
        str | None, typer.Option(metavar="PART,…", help=f"Leave out parts of the messages: {', '.join(LACKS)}.")
    ] = None
    late_rate: Annotated[float | None, _fault_option("after the allowed lateness")] = None
    duplicate_rate: Annotated[float | None, _fault_option("twice")] = None
    out_of_order_rate: Annotated[float | None, _fault_option("1 to 30 s after their time")] = None
    malformed_rate: Annotated[float | None, _fault_option("with a broken copy before them")] = None
    end: Annotated[
        datetime | None, typer.Option(formats=TYPED_TIME_FORMATS, help="With --out: its end (UTC); else now.")
    ] = None
    workers: Annotated[int, typer.Option(min=0, help="With --out: processes; 0: one a core.")] = 0
    recording: Annotated[
        Path | None, typer.Option("--replay", help='A history\'s folder, or a file of {"topic","key","value"} lines.')
    ] = None
    mapping: Annotated[
        Path | None,
        typer.Option(help="With --replay: mapping of a shop's own file, as docs/mapping.md describes it."),
    ] = None
    speed: Annotated[
        float, typer.Option(min=0, help="With --replay or --start: 1 is the original pace; with --replay, 0: at once.")
    ] = 1.0
    shift_times: Annotated[bool, typer.Option("--shift-times", help="With --replay: move the times to now.")] = False


def takes_options(run: Callable[[ProduceOptions], None]) -> Callable[..., None]:
    """`run` as Typer reads a command: with a parameter for each field of the options."""

    @wraps(run)
    def command(**given: Any) -> None:
        run(ProduceOptions(**given))

    command.__signature__ = inspect.signature(ProduceOptions)  # type: ignore[attr-defined]
    return command


def with_options(settings: ProducerSettings, options: ProduceOptions) -> ProducerSettings:
    """A copy of `settings` with the options that are given. Raises UsageError for a value that no setting may have."""
    given = {name: getattr(options, name, None) for name in ProducerSettings.model_fields}
    changes = {name: value for name, value in given.items() if value is not None}
    changes |= _difficulties(settings, options.difficulty or [])
    try:
        return ProducerSettings.model_validate(settings.model_dump() | changes)
    except ValidationError as error:
        problem = error.errors()[0]
        name = str(problem["loc"][0]).replace("_", "-")
        raise UsageError(f"--{name} {problem['input']}: {problem['msg']}") from None


def utc(moment: datetime | None) -> datetime:
    """The time that an option names, or now."""
    return moment.replace(tzinfo=UTC) if moment else datetime.now(UTC)


def _difficulties(settings: ProducerSettings, texts: list[str]) -> dict[str, Any]:
    usual, by_scenario = settings.difficulty, dict(settings.scenario_difficulty)
    for text in texts:
        name, _, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            raise UsageError(f"--difficulty {text}: say a number, or SCENARIO=NUMBER") from None
        if name:
            by_scenario[name] = value
        else:
            usual = value
    return {"difficulty": usual, "scenario_difficulty": by_scenario}
