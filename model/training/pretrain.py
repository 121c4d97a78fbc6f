"""Trains the model that ships, from nothing: `python -m model.training.pretrain --work DIR`.

It learns from six simulated shops: one over 60 days, and five as a live platform meets them, from its first minute: the
customers come back within the hour instead of the month, and nobody is known at the start. Four of those last five
hours, each at another time of day, and one a day. A model of the first shop alone flags a quarter of a live platform's
transactions. All histories end at fixed times, so that the same code trains the same model.
"""

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from fraudstream.settings import ProducerSettings, load_settings
from fraudstream.simulator.history import write_history
from fraudstream.simulator.history_plan import LABEL_DELAY_DAYS, HistoryPlan
from model.durations import DAY_SECONDS
from model.serving.registry import PRETRAINED
from model.training.thresholds import ThresholdRule
from model.training.train import console, read_histories, train_and_write
from model.training.trainer import Options

#: On a platform that has just begun, the threshold of 1.5 made 1.9 alerts a fraud: its customers are hardly known.
_ALERTS_PER_FRAUD = 1.25
#: A live platform's labels come sooner, so that its entity risk is known within the hour.
_LIVE_LABEL_DELAY_DAYS = ProducerSettings().label_delay_seconds / DAY_SECONDS


def _plan(
    seed: int, transactions: int, days: float, end_hour: int, customers: int = 20_000, fraud_rate: float = 0.01
) -> HistoryPlan:
    return HistoryPlan(
        seed=seed,
        customers=customers,
        products=1_000,
        transactions=transactions,
        fraud_rate=fraud_rate,
        days=days,
        end=datetime(2026, 11, 4, end_hour, tzinfo=UTC),
        label_delay_days=_LIVE_LABEL_DELAY_DAYS if days <= 1 else LABEL_DELAY_DAYS,
    )


PLANS = {
    "60-days": _plan(42, 400_000, 60, 12, fraud_rate=0.007),
    "live-1": _plan(42, 160_000, 0.2, 5),
    "live-2": _plan(11, 160_000, 0.2, 11),
    "live-3": _plan(23, 160_000, 0.2, 17),
    "live-4": _plan(31, 160_000, 0.2, 23),
    "live-day": _plan(5, 200_000, 1, 12, customers=4_000),
}


def main(
    work: Annotated[Path, typer.Option(help="folder for the histories: about 300 MB")],
    out: Annotated[Path, typer.Option(help="folder for the model")] = PRETRAINED,
    trials: Annotated[int, typer.Option(help="parameters to try; 1: only the defaults", min=1)] = 8,
) -> None:
    """Writes the histories that aren't in the work folder yet, and trains on them."""
    processes = os.cpu_count() or 1
    for name, plan in PLANS.items():
        if not (work / name).exists():
            plan = replace(plan, currency=load_settings().shop.currency)
            for _ in write_history(work / name, plan, processes):
                pass
            console.print(f"wrote {work / name}")
    splits = read_histories([work / name for name in PLANS], processes)
    train_and_write(
        splits, out, Options(seed=42, trials=trials, rule=ThresholdRule(alerts_per_fraud=_ALERTS_PER_FRAUD))
    )


if __name__ == "__main__":
    typer.run(main)
