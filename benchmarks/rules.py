"""What rules cost: a micro-batch decided by 50 rules and 100,000 entries of lists, and a backtest of a million rows.

./fraudctl bench rules

In one process, without Spark, Kafka or Postgres: the time that a scoring worker spends on deciding, beside none. CPU is
told, too, which other work on the machine makes no longer.
`--rows` and `--entries` are for a quick try.
"""

import pickle
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated

import numpy as np
import pyarrow as pa
import typer

from fraudstream.policy import backtest
from fraudstream.policy.backtest import Question
from fraudstream.policy.columns import columns_with
from fraudstream.policy.conditions import compile_condition
from fraudstream.policy.document import Action, Kind, Policy, Rule, State
from fraudstream.policy.evaluation import Evaluator, without_policy
from fraudstream.policy.live import NEVER, LivePolicy, live_rules
from model.features.columns import FEATURE_NAMES

COLUMNS = columns_with(FEATURE_NAMES)
KINDS = {"blocked": Kind.DEVICE, "customers": Kind.CUSTOMER}
#: Features that are numbers in a condition: one that has the name of a transaction's field is that field.
NUMBERS = [name for name in FEATURE_NAMES if COLUMNS[name] != "VARCHAR"]
RULES = 50
BATCHES = (15, 2_000, 10_000)
REPEATS = 30
NOW = datetime(2026, 3, 1)


def main(
    rows: Annotated[int, typer.Option(help="transactions of the backtest")] = 1_000_000,
    entries: Annotated[int, typer.Option(help="entries of the lists")] = 100_000,
) -> None:
    """Measure it, and print a line a figure."""
    policy = made(entries)
    began = time.perf_counter()
    live_rules(Policy(rules=rules()), COLUMNS, KINDS, {})
    print(f"compiling {RULES} rules: {(time.perf_counter() - began) * 1000:.1f} ms, on the driver, when they change")
    print(f"policy as it is sent to workers: {len(pickle.dumps(policy)) / 1e6:.1f} MB")
    for size in BATCHES:
        table, scores = batch(size), np.random.default_rng(2).random(size)
        evaluator = Evaluator()
        took, spent = median_ms(lambda: evaluator.decide(policy, scores, 0.5, table.__getitem__))  # noqa: B023 (used at once)
        before, spent_before = median_ms(lambda: without_policy(scores >= 0.5))  # noqa: B023 (used at once)
        print(
            f"a micro-batch of {size}: {took:.2f} ms with the policy, {before:.2f} ms without; "
            f"CPU {spent:.2f} ms with, {spent_before:.2f} ms without"
        )
    print(f"backtest of {rows} transactions: {backtested(rows, entries):.2f} s")


def made(entries: int) -> LivePolicy:
    """A policy with `RULES` live rules and `entries` of two lists."""
    compiled, refused = live_rules(Policy(rules=rules()), COLUMNS, KINDS, {})
    if refused:
        raise ValueError(refused)
    lists = {
        "blocked": {f"d-{number}": NEVER for number in range(entries // 2)},
        "customers": {f"c-{number}": NEVER for number in range(entries - entries // 2)},
    }
    return LivePolicy(1, Policy().thresholds, 0.01, compiled, lists)


def rules() -> list[Rule]:
    """Rules as people write them: each over three features, true of few transactions; some over lists."""
    listed = ["device_id IN list('blocked')", "customer_id IN list('customers') AND score > 0.3"]
    conditions = [
        f"{NUMBERS[n]} > {n + 90} AND {NUMBERS[n + 20]} < 5 OR {NUMBERS[n + 40]} / amount > {n + 500}"
        for n in range(RULES - len(listed))
    ]
    return [
        Rule(name=f"rule_{number}", condition=condition, action=list(Action)[number % 3], state=State.LIVE)
        for number, condition in enumerate(conditions + listed)
    ]


def batch(rows: int) -> dict[str, pa.Array]:
    """Columns of `rows` transactions, by name."""
    chance = np.random.default_rng(1)
    columns = {name: pa.array(chance.gamma(1, 20, rows).astype("f4")) for name in FEATURE_NAMES}
    ids = {"device_id": "d", "customer_id": "c", "transaction_id": "t"}
    columns |= {name: pa.array([f"{of}-{n}" for n in chance.integers(0, 10**6, rows)]) for name, of in ids.items()}
    return columns | {"score": pa.array(chance.random(rows))}


def backtested(rows: int, entries: int) -> float:
    """Seconds of a backtest of a rule with a list, beside ten live rules, over 90 days."""
    chance = np.random.default_rng(3)
    times = [NOW + timedelta(days=90) * (number / rows) for number in range(rows)]
    fraud = pa.array([(None, False, True)[n] for n in chance.choice(3, rows, p=[0.95, 0.04, 0.01])])
    more = {"event_time": pa.array(times, pa.timestamp("us")), "money": pa.array(chance.gamma(1, 50, rows))}
    table = pa.table(batch(rows) | more | {"is_fraud": pa.array(chance.random(rows) < 0.02), "fraud": fraud})
    held = backtest.entries_table([("blocked", f"d-{number}", NOW, None) for number in range(entries)])
    tried = compile_condition("amount > 60 AND device_id IN list('blocked')", COLUMNS, KINDS)
    live = {rule.name: compile_condition(rule.condition, COLUMNS, KINDS) for rule in rules()[:10]}
    began = time.perf_counter()
    backtest.run(table, held, Question(tried, Action.BLOCK, timedelta(days=30), live))
    return time.perf_counter() - began


def median_ms(work: Callable[[], object]) -> tuple[float, float]:
    """The medians of `REPEATS` runs after one, milliseconds: of the time, and of the CPU's."""
    work()
    taken, spent = [], []
    for _ in range(REPEATS):
        began, began_cpu = time.perf_counter(), time.process_time()
        work()
        taken.append((time.perf_counter() - began) * 1000)
        spent.append((time.process_time() - began_cpu) * 1000)
    return float(np.median(taken)), float(np.median(spent))


if __name__ == "__main__":
    typer.run(main)
