"""Simulated shoppers.

Sends browse events, transactions, delayed labels and the simulation's truth to Kafka until it is stopped, or for a set
time. At most one producer runs at a time, whoever triggers it.

**Start**: *Trigger*, and choose the rate: 100 to 200 events a second are 500 to 1,000 events every 5 s. `./fraudctl up`
starts one with the defaults when none runs. The scenarios, their difficulty, the drift of their mix and the faults are
described in `docs/simulator.md`.

**Stop**: mark the task *failed* (or *success*): the producer sends what it has, and ends within seconds. Clearing the
task stops it, too, and starts it again.

**Look at** the task's log: the producer's own log, and a progress line a minute. *Stream* in the menu shows what
arrives on the other side.

### Triage

By night: nothing. The simulated shop may wait; your own shop doesn't need it.

- *The job died (…)*: it crashed or was killed. A retry follows in 5 s; the lines above say why.
- *The job gave no heartbeat*: it hung, most often because Kafka is away. It was stopped, and is started again. Ask
  `./fraudctl status` whether Kafka is up.
- *its Dag event_producer is paused*: Airflow starts no task of a paused Dag, so that a dead producer stays dead.
  Unpause the Dag, or mark the run failed.
- *Adopted job producer*: another run's producer was still alive, and goes on with *its* parameters. Stop that run
  first.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param
from fraudstream_airflow.operators import ProcessStreamOperator

from fraudstream.settings import load_settings

defaults = load_settings().producer


def fault_rate(title: str, default: float, how: str) -> Param:
    """A parameter for the share of events that are sent with a fault."""
    description = f"Share of events that are sent {how}"
    return Param(default, type="number", minimum=0, maximum=0.25, title=title, description=description)


with DAG(
    "event_producer",
    description="Simulated shoppers: browse events and transactions to Kafka",
    doc_md=__doc__,
    schedule=None,
    max_active_runs=1,
    is_paused_upon_creation=False,
    default_args={"owner": "fraud-platform", "retries": 1000, "retry_delay": timedelta(seconds=5)},
    tags=["fraudstream", "producer", "streaming"],
    params={
        "events_per_second": Param(
            defaults.events_per_second,
            type="number",
            exclusiveMinimum=0,
            maximum=100_000,
            title="Events per second",
            description="100 to 200 are 500 to 1,000 events every 5 s",
        ),
        "fraud_rate": Param(
            defaults.fraud_rate,
            type="number",
            minimum=0,
            maximum=0.5,
            title="Fraud rate",
            description="Share of transactions that are fraud: 0.01 is 1 %",
        ),
        "difficulty": Param(
            defaults.difficulty,
            type="number",
            minimum=0,
            maximum=1,
            title="Difficulty",
            description="Share of their traits that fraudsters hide: 0 shows all",
        ),
        "drift": Param(
            defaults.drift,
            type="number",
            minimum=0,
            maximum=3,
            title="Drift",
            description="How much the scenarios' shares change over 8 weeks; 0: not at all",
        ),
        "late_rate": fault_rate("Late events", defaults.late_rate, "after the allowed lateness"),
        "duplicate_rate": fault_rate("Duplicates", defaults.duplicate_rate, "twice"),
        "out_of_order_rate": fault_rate("Out of order", defaults.out_of_order_rate, "1 to 30 s after their time"),
        "malformed_rate": fault_rate("Malformed", defaults.malformed_rate, "with a broken copy before them"),
        "duration_seconds": Param(
            0,
            type="number",
            minimum=0,
            title="Duration, seconds",
            description="0: until the task is stopped",
        ),
        "seed": Param(
            defaults.seed,
            type="integer",
            minimum=0,
            title="Seed",
            description="The same seed makes the same customers, products and fraudsters",
        ),
    },
):
    ProcessStreamOperator(
        task_id="produce",
        job="producer",
        module="fraudstream.simulator",
        arguments=[
            "produce",
            "--events-per-second={{ params.events_per_second }}",
            "--fraud-rate={{ params.fraud_rate }}",
            "--difficulty={{ params.difficulty }}",
            "--drift={{ params.drift }}",
            "--late-rate={{ params.late_rate }}",
            "--duplicate-rate={{ params.duplicate_rate }}",
            "--out-of-order-rate={{ params.out_of_order_rate }}",
            "--malformed-rate={{ params.malformed_rate }}",
            "--duration={{ params.duration_seconds }}",
            "--seed={{ params.seed }}",
        ],
        niceness=5,  # what makes the load must not slow what carries it
        may_finish=True,
    )
