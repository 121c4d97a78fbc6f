"""`python -m fraudstream.simulator`: the simulated shop's command line."""

import logging
import os
import signal
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from fraudstream.errors import FraudstreamError
from fraudstream.jobs.heartbeat import HEARTBEAT, State
from fraudstream.messages.contracts import TYPED_TIME_FORMATS
from fraudstream.settings import ProducerSettings, Settings, load_settings
from fraudstream.simulator.faults import FaultInjector, FaultRates
from fraudstream.simulator.flow import Flow, FlowOptions
from fraudstream.simulator.held import HeldMessages
from fraudstream.simulator.history import LABEL_DELAY_DAYS, HistoryPlan, write_history
from fraudstream.simulator.live import TOPICS, Clock, Limits, LiveProducer
from fraudstream.simulator.progress import Progress
from fraudstream.simulator.publisher import Publisher
from fraudstream.simulator.recording import open_recording
from fraudstream.simulator.replay import Pace, replay
from fraudstream.simulator.scenarios import FraudMix
from fraudstream.simulator.shop import build_shop
from fraudstream.simulator.tables import Tables
from fraudstream.static_data.publish import StaticDataError, publish
from fraudstream.storage.connect import session

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)
log = logging.getLogger("fraudstream.simulator")


class UsageError(FraudstreamError):
    """Options that don't go together."""


def _fault_option(how: str) -> Any:
    return typer.Option(min=0, max=0.25, help=f"Live: share of events that are sent {how}.")


@dataclass(frozen=True)
class _ShopOptions:
    seed: int
    customers: int
    products: int
    fraud_rate: float
    mix: FraudMix


def main() -> None:
    """The entry point: an error is one line and exit status 1."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        app()
    except FraudstreamError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)


@app.command()
def produce(
    rate: Annotated[
        float | None, typer.Option("--rate", "--events-per-second", help="Browse events and transactions a second.")
    ] = None,
    fraud_rate: Annotated[float | None, typer.Option(min=0, max=0.5, help="Share of fraud among transactions.")] = None,
    duration: Annotated[float, typer.Option(min=0, help="Stop after so many seconds; 0: when told to.")] = 0.0,
    events: Annotated[int, typer.Option(min=0, help="Stop after so many events; 0: when told to.")] = 0,
    seed: Annotated[int | None, typer.Option(min=0, help="The same seed makes the same shop.")] = None,
    customers: Annotated[int | None, typer.Option(min=100, help="Customers of the shop.")] = None,
    products: Annotated[int | None, typer.Option(min=50, help="Products of the shop.")] = None,
    start: Annotated[
        datetime | None,
        typer.Option(
            formats=TYPED_TIME_FORMATS, help="UTC time of the first event, for output that repeats; else now."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write a history (Parquet) into this folder, not to Kafka.")] = None,
    transactions: Annotated[int, typer.Option(min=1, help="With --out: transactions to write.")] = 1_000_000,
    days: Annotated[float, typer.Option(help="With --out: days that the history spans.")] = 60.0,
    label_delay_days: Annotated[
        float, typer.Option(help="With --out: mean days until fraud is labelled.")
    ] = LABEL_DELAY_DAYS,
    difficulty: Annotated[
        list[str] | None,
        typer.Option(metavar="[SCENARIO=]0..1", help="Share of their traits that fraudsters hide; repeat for several."),
    ] = None,
    drift: Annotated[
        float | None, typer.Option(min=0, max=3, help="How much the scenarios' shares change over 8 weeks; 0: not.")
    ] = None,
    late_rate: Annotated[float | None, _fault_option("after the allowed lateness")] = None,
    duplicate_rate: Annotated[float | None, _fault_option("twice")] = None,
    out_of_order_rate: Annotated[float | None, _fault_option("1 to 30 s after their time")] = None,
    malformed_rate: Annotated[float | None, _fault_option("with a broken copy before them")] = None,
    end: Annotated[
        datetime | None, typer.Option(formats=TYPED_TIME_FORMATS, help="With --out: its end (UTC); else now.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="With --out: processes; 0: one a core.")] = 0,
    recording: Annotated[
        Path | None, typer.Option("--replay", help='A history\'s folder, or a file of {"topic","key","value"} lines.')
    ] = None,
    speed: Annotated[
        float, typer.Option(min=0, help="With --replay or --start: 1 is the original pace; with --replay, 0: at once.")
    ] = 1.0,
    shift_times: Annotated[bool, typer.Option("--shift-times", help="With --replay: move the times to now.")] = False,
) -> None:
    """Simulate shoppers: into Kafka, live; or into files, with --out. Or replay what was recorded.

    Examples:
      produce                                            live, at the rate of the settings, until stopped

      produce --rate 1000 --duration 60                  a minute, 1,000 events a second

      produce --start 2026-11-01 --speed 1440            a day a minute, labels too, until it has caught up with now

      produce --duplicate-rate 0.01 --late-rate 0.001    with faults, each told on the topic simulation-truth

      produce --difficulty 0.3 --difficulty card_testing=0.8

      produce --out history --transactions 1000000       60 days of Parquet files for training

      produce --replay history --speed 0 --shift-times   a history into Kafka, as fast as possible, as if it were now
    """
    if out and recording:
        raise UsageError(f"--out {out} and --replay {recording} don't go together: choose one")
    settings = load_settings()
    defaults = settings.producer
    shop = _ShopOptions(
        seed=defaults.seed if seed is None else seed,
        customers=customers or defaults.customers,
        products=products or defaults.products,
        fraud_rate=defaults.fraud_rate if fraud_rate is None else fraud_rate,
        mix=_fraud_mix(defaults, difficulty or [], drift),
    )
    if out:
        plan = HistoryPlan(
            shop.seed, shop.customers, shop.products, transactions, shop.fraud_rate, days, _utc(end), shop.mix,
            label_delay_days,
        )  # fmt: skip
        _write_history(out, plan, workers or os.cpu_count() or 1)
    elif recording:
        _replay(settings, recording, Pace(speed, shift_times), events)
    else:
        rates = FaultRates(
            late=defaults.late_rate if late_rate is None else late_rate,
            duplicate=defaults.duplicate_rate if duplicate_rate is None else duplicate_rate,
            out_of_order=defaults.out_of_order_rate if out_of_order_rate is None else out_of_order_rate,
            malformed=defaults.malformed_rate if malformed_rate is None else malformed_rate,
            allowed_lateness_seconds=settings.stream.allowed_lateness_seconds,
        )
        clock = _clock(start, speed)
        _produce_live(settings, shop, rate or defaults.events_per_second, clock, rates, Limits(events, duration))


@app.command()
def static(
    source: Annotated[
        Path | None, typer.Option(help="Folder with customers.parquet and products.parquet; else the simulated shop.")
    ] = None,
) -> None:
    """Publish customers and products to Postgres, where the stream reads them.

    Examples:
      static                    the simulated shop of the settings

      static --source my-shop   your own shop's files
    """
    settings = load_settings()
    if source:
        customers, products = (_read(source / name) for name in ("customers.parquet", "products.parquet"))
    else:
        defaults = settings.producer
        tables = Tables(build_shop(defaults.seed, defaults.customers, defaults.products), run=0)
        customers, products = tables.customers(), tables.products()
    with session(settings, settings.postgres.writer, name="static_data") as connection:
        published = publish(connection, customers, products)
    news = "new version" if published.new else "nothing changed since version"
    typer.echo(f"{news} {published.version}: {published.customers} customers, {published.products} products")


def _fraud_mix(defaults: ProducerSettings, difficulty: list[str], drift: float | None) -> FraudMix:
    """The settings' mix, with what the options change."""
    usual, by_scenario = defaults.difficulty, dict(defaults.scenario_difficulty)
    for text in difficulty:
        name, _, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            raise UsageError(f"--difficulty {text}: say a number, or SCENARIO=NUMBER") from None
        if name:
            by_scenario[name] = value
        else:
            usual = value
    return FraudMix(usual, defaults.drift if drift is None else drift, by_scenario)


def _clock(start: datetime | None, speed: float) -> Clock:
    if start is None and speed != 1:
        raise UsageError(f"--speed {speed}: a live shop would run ahead of the clock; give it a --start in the past")
    if not speed:
        raise UsageError("--speed 0: only a --replay can go at once; choose a number above 0")
    return Clock(int(_utc(start).timestamp() * 1000) if start else None, speed)


def _utc(moment: datetime | None) -> datetime:
    return moment.replace(tzinfo=UTC) if moment else datetime.now(UTC)


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        raise StaticDataError(f"--source: there is no {path}")
    return pq.read_table(path)


def _write_history(out: Path, plan: HistoryPlan, workers: int) -> None:
    done = frauds = browsed = 0
    columns = (
        TextColumn("writing"), BarColumn(), MofNCompleteColumn(), TextColumn("transactions,"),
        TextColumn("{task.fields[rate]:,.0f}/s,"), TimeRemainingColumn(), TextColumn("left"),
    )  # fmt: skip
    begun = time.monotonic()
    with ProgressBar(*columns) as bar:
        task = bar.add_task("history", total=plan.transactions, rate=0.0)
        for part in write_history(out, plan, workers):
            done, frauds, browsed = done + part.transactions, frauds + part.frauds, browsed + part.browse_events
            bar.update(task, completed=done, rate=done / (time.monotonic() - begun))
    typer.echo(
        f"{out}: {done} transactions ({frauds} of them fraud), {browsed} browse events, "
        f"in {time.monotonic() - begun:.0f} s"
    )


def _replay(settings: Settings, path: Path, pace: Pace, limit: int) -> None:
    stopped = _stop_signal()
    recording = open_recording(path)
    publisher, progress = _connect(settings, recording.topics)
    replay(recording, pace, publisher, progress, stopped, limit)
    _finish(publisher, progress)


def _produce_live(
    settings: Settings, options: _ShopOptions, rate: float, clock: Clock, rates: FaultRates, limits: Limits
) -> None:
    stopped = _stop_signal()
    publisher, progress = _connect(settings, {str(topic) for topic in TOPICS})
    shop = build_shop(options.seed, options.customers, options.products)
    start_ms = int(time.time() * 1000) if clock.start_ms is None else clock.start_ms
    delay_ms = settings.producer.label_delay_seconds * 1000
    # Rates are per second of the wall's clock.
    flow = Flow(shop, FlowOptions(rate / clock.speed, options.fraud_rate, start_ms, delay_ms, options.mix))
    held = HeldMessages(settings.paths.producer / "held-messages.json")
    if clock.start_ms is None:  # a run at a chosen time has labels of its own time only
        held.load()
    faults = FaultInjector(rates, [options.seed, 9, start_ms])
    producer = LiveProducer(flow, Tables(shop, run=start_ms), publisher, held, clock, faults)
    log.info("producing %.0f events/s from %d customers to %s", rate, options.customers, settings.kafka.bootstrap)
    producer.run(limits, progress, stopped)
    if clock.start_ms is None:
        held.save()
    if faults.counts:
        log.info("faults: %s", ", ".join(f"{fault} {number}" for fault, number in sorted(faults.counts.items())))
    if clock.caught_up:
        log.info("caught up with the clock: start again without --start to go on")
    _finish(publisher, progress)


def _connect(settings: Settings, topics: set[str]) -> tuple[Publisher, Progress]:
    publisher = Publisher(settings.kafka)
    progress = Progress(settings.paths.producer / HEARTBEAT, publisher)
    progress.write(State.STARTING)
    publisher.check(topics)
    return publisher, progress


def _finish(publisher: Publisher, progress: Progress) -> None:
    progress.write(State.STOPPING)
    publisher.close()
    typer.echo(publisher.report)


def _stop_signal() -> "_Stop":
    stop = _Stop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


class _Stop:
    """Whether a signal asked to stop."""

    def __init__(self) -> None:
        self._asked = False

    def set(self) -> None:
        """Asks."""
        self._asked = True

    def __call__(self) -> bool:
        return self._asked


if __name__ == "__main__":
    main()
