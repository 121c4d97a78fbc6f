"""A compressed month of a whole platform: its shop changes in week 3, it is seen, and a new model is promoted for it.

    ./fraudctl bench month
    ./fraudctl bench month --days 8 --drift-after 4 --transactions-a-day 2000 --customers 4000 --past-days 10
    ./fraudctl bench month --stay 30

Starts Kafka, Postgres, Airflow, Superset and the streaming job in a folder and on ports of their own. The simulated
shop lives the days that end with the last midnight (UTC): as usual at first, and then with the weeks before a holiday,
in which honest shoppers hurry to sales and buy presents, as fraudsters seem to, and with a new checkout, which tells
neither device nor card. Its past of a month more is imported first, so that customers are known.

Each half of a simulated day is sent at once. When it is scored, what the Dags do by the clock is done as of its end:
entity risk, the archive, and the model's health, whose breaches are kept. When one lasts, the Dag `train_fraud_model`
is triggered in Airflow with the days since the drift was seen (three to ten), as of then, and its question is answered
as its runbook says: approved when the challenger is shown to be better; else rejected, and asked again two days later,
when more labels have come. A week after a promotion one is asked for, too, as the Dag's own schedule does. A breach of
features alone, while score, calibration and alerts are as they were, is left: so ages a young shop. Simulated time
stands still meanwhile. Labels count from when they were made.

Precision and recall are by simulation-truth. Ends with 1 when the drift isn't seen within a simulated day (a figure out
of bounds that wasn't in the days before), or precision doesn't recover: the promoted model must make up for half of
what the drift took, by more than chance (its whole 95 % interval above what was left), and for half of what F1 lost, so
that it isn't bought with recall.
"""

import argparse
import os
import subprocess
import time
from datetime import UTC, datetime

from benchmarks.measuring.platform import platform_without_shop
from benchmarks.measuring.stream import BenchmarkError
from fraudstream.local.parts.airflow_api import AirflowApi
from fraudstream.settings import PROJECT_DIR, Settings

#: They would count with the clock's time what is a month old: it is done here, as of the simulated time.
CLOCKWORK = ("archive_transactions", "monitor_model", "refresh_entity_risk", "apply_retention")
#: Profiles of visitors are kept by the clock, too.
VARIABLES = {"STREAM__VISITOR_RETENTION_DAYS": "400"}


def main() -> None:
    """Runs the month, and prints it."""
    arguments = _arguments()
    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    asked = [f"--{name.replace('_', '-')}={value}" for name, value in vars(arguments).items() if name != "stay"]
    asked.append(f"--end={end:%Y-%m-%dT%H:%M:%SZ}")

    def begin(settings: Settings) -> None:
        if _run(settings, "begin", *asked):
            raise BenchmarkError("the month can't begin: see above")

    shop = {"PRODUCER__CUSTOMERS": str(arguments.customers)}
    with platform_without_shop(VARIABLES | shop, begin) as settings:
        for dag in CLOCKWORK:
            AirflowApi(settings).pause(dag)
        status = _run(settings, "live", *asked)
        _stay(settings, arguments.stay)
    raise SystemExit(status)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=30, help="whole days, until the last midnight (30)")
    parser.add_argument("--drift-after", type=int, default=14, help="whole days as usual (14)")
    parser.add_argument("--past-days", type=int, default=30, help="days before, which are imported (30)")
    parser.add_argument("--transactions-a-day", type=int, default=12_000, help="with 12 browse events each (12,000)")
    parser.add_argument("--customers", type=int, default=20_000, help="customers of the shop (20,000)")
    parser.add_argument("--label-delay-days", type=float, default=0.5, help="mean, simulated days (0.5)")
    parser.add_argument("--sale-hours", type=float, default=0.6, help="hours with a sale then (0.6, before 0.05)")
    parser.add_argument("--presents", type=float, default=0.1, help="share of presents then (0.1, before 0.02)")
    parser.add_argument("--without", default="device,card", help="what the shop doesn't tell then (device,card)")
    parser.add_argument("--trials", type=int, default=2, help="sets of parameters that a training tries (2)")
    parser.add_argument("--stay", type=float, default=0.0, help="minutes to leave the platform up for a look (0)")
    return parser.parse_args()


def _run(settings: Settings, command: str, *arguments: str) -> int:
    """Runs a command of the month in the Spark environment, where archive and model are at home."""
    python = settings.paths.python("spark")
    module = ("-m", "benchmarks.measuring.month_life", command)
    return subprocess.run([python, "-u", *module, *arguments], cwd=PROJECT_DIR, env=os.environ, check=False).returncode


def _stay(settings: Settings, minutes: float) -> None:
    """Leaves the platform up for a look at its dashboards."""
    if minutes:
        print(f"Superset {settings.superset_url}, Airflow {settings.airflow_url}; passwords in", flush=True)
        print(f"{settings.paths.secrets}, for {minutes:g} minutes", flush=True)
        time.sleep(minutes * 60)


if __name__ == "__main__":
    main()
