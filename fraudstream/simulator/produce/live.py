"""The mode of `produce` without --out and --replay: live, into Kafka."""

import logging
import time
from pathlib import Path

from fraudstream.errors import UsageError
from fraudstream.settings import ProducerSettings, Settings
from fraudstream.simulator.delayed import DelayedMessages
from fraudstream.simulator.faults import FaultInjector, FaultRates
from fraudstream.simulator.flow import Flow, FlowOptions
from fraudstream.simulator.live import TOPICS, Clock, Limits, LiveProducer
from fraudstream.simulator.mix import FraudMix
from fraudstream.simulator.produce.connection import StopSignal, connect, finish
from fraudstream.simulator.produce.folder import idle_folders, own_folder
from fraudstream.simulator.produce.options import ProduceOptions, utc
from fraudstream.simulator.shop import Shop, build_shop
from fraudstream.simulator.tables import Tables

log = logging.getLogger(__name__)


def produce_live(settings: Settings, options: ProduceOptions) -> None:
    """Sends the shop's events until a limit of the options, or a signal. Raises KafkaDeliveryError."""
    clock = _clock(options)
    stopped = StopSignal()
    with own_folder(settings) as folder:
        _produce(settings, options, clock, stopped, folder)


def _produce(settings: Settings, options: ProduceOptions, clock: Clock, stopped: StopSignal, folder: Path) -> None:
    publisher, progress = connect(settings, folder, {str(topic) for topic in TOPICS})
    shop = build_shop(settings.producer.seed, settings.producer.customers, settings.producer.products)
    start_ms = int(time.time() * 1000) if clock.start_ms is None else clock.start_ms
    flow = Flow(shop, _flow_options(settings.producer, clock, start_ms))
    delayed = DelayedMessages(folder)
    if clock.start_ms is None:  # a run at a chosen time has labels of its own time only
        with idle_folders(settings) as others:
            delayed.load(*others)
    faults = FaultInjector(_fault_rates(settings), [shop.seed, 9, start_ms])
    tables = Tables(shop, start_ms, settings.shop.currency, settings.producer.lacks)
    producer = LiveProducer(flow, tables, publisher, delayed, clock, faults)
    _log_start(settings, shop)
    producer.run(Limits(options.events, options.duration), progress, stopped)
    if clock.start_ms is None:
        delayed.save()
    _log_end(clock, faults)
    finish(publisher, progress)


def _clock(options: ProduceOptions) -> Clock:
    start, speed = options.start, options.speed
    if start is None and speed != 1:
        raise UsageError(f"--speed {speed}: a live shop would run ahead of the clock; give it a --start in the past")
    if not speed:
        raise UsageError("--speed 0: only a --replay can go at once; choose a number above 0")
    return Clock(int(utc(start).timestamp() * 1000) if start else None, speed)


def _flow_options(producer: ProducerSettings, clock: Clock, start_ms: int) -> FlowOptions:
    rate = producer.events_per_second / clock.speed  # the setting's seconds are the wall clock's
    return FlowOptions(rate, producer.fraud_rate, start_ms, producer.label_delay_seconds * 1000, FraudMix.of(producer))


def _fault_rates(settings: Settings) -> FaultRates:
    producer = settings.producer
    return FaultRates(
        late=producer.late_rate,
        duplicate=producer.duplicate_rate,
        out_of_order=producer.out_of_order_rate,
        malformed=producer.malformed_rate,
        allowed_lateness_seconds=settings.stream.allowed_lateness_seconds,
    )


def _log_start(settings: Settings, shop: Shop) -> None:
    rate, customers = settings.producer.events_per_second, len(shop.customers)
    log.info("producing %.0f events/s from %d customers to %s", rate, customers, settings.kafka.bootstrap)


def _log_end(clock: Clock, faults: FaultInjector) -> None:
    if faults.counts:
        log.info("faults: %s", ", ".join(f"{fault} {number}" for fault, number in sorted(faults.counts.items())))
    if clock.caught_up:
        log.info("caught up with the clock: start again without --start to go on")
