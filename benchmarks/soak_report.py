"""The slopes of a soak's record beside their bounds; also while the soak still runs, which writes it.

    ./fraudctl bench soak_report soak.csv
    ./fraudctl bench soak_report soak.csv --warm-up 40 --all

Slopes are Theil-Sen's (the median of the slopes of all pairs), which outliers hardly move, of the newest run in the
file, after its warm-up. A series is over its bound when the whole 95 % interval of its slope is. Ends with 1 when one
is; the bounds, and what ends each rise, are listed in docs/measurements.md.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import theilslopes

from benchmarks.measuring.bounds import Slope, Verdict, judge

WARM_UP_MINUTES = 20.0
#: Each is the median of its samples: neighbours say little more than one, and all pairs of them are compared.
INTERVALS = 120
LEAST_VALUES = 8


def main() -> None:
    """Prints what rises; all with `--all`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("record", type=Path, help="a file that the soak has written")
    parser.add_argument("--warm-up", type=float, default=WARM_UP_MINUTES, help="minutes to leave out (20)")
    parser.add_argument("--all", action="store_true", help="list the series that don't rise, too")
    arguments = parser.parse_args()
    verdicts = judge(slopes(newest_run(arguments.record), arguments.warm_up))
    shown = [verdict for verdict in verdicts if arguments.all or verdict.slope.low > 0]
    print("\n".join(line(verdict) for verdict in shown))
    over = [verdict for verdict in verdicts if not verdict.is_bounded]
    print(f"{len(verdicts)} series, {sum(v.slope.low > 0 for v in verdicts)} rise, {len(over)} above their bound")
    for verdict in over:
        print(f"  {line(verdict)}")
    sys.exit(1 if over else 0)


def newest_run(record: Path) -> pd.DataFrame:
    """The samples of the file's newest run: a row a moment, a column a series."""
    lines = pd.read_csv(record)
    lines = lines[lines["run"] == lines["run"].iloc[-1]]
    samples: pd.DataFrame = lines.pivot_table(index="seconds", columns="series", values="value", aggfunc="last")
    return samples


def slopes(samples: pd.DataFrame, warm_up: float) -> Mapping[str, Slope]:
    """The slope of each series, without the first `warm_up` minutes; none of a series that was hardly seen."""
    warm = samples[samples.index >= warm_up * 60]
    found = {str(name): _slope(warm[name].dropna()) for name in warm.columns}
    return {name: slope for name, slope in found.items() if slope}


def line(verdict: Verdict) -> str:
    """A line for people."""
    slope = verdict.slope
    end = f"until {verdict.bound.until}" if verdict.bound else "should be level"
    return (
        f"{verdict.series}: {slope.median:,.0f}, {slope.hourly:+,.1f} an hour "
        f"({slope.low:+,.1f} to {slope.high:+,.1f}); bound {verdict.allowed:,.1f}, {end}"
    )


def _slope(values: "pd.Series[float]") -> Slope | None:
    hours = values.index.to_numpy(dtype=float) / 3600
    blocks = np.array_split(np.arange(len(values)), min(INTERVALS, len(values))) if len(values) else []
    if len(blocks) < LEAST_VALUES:
        return None
    times = np.array([np.median(hours[block]) for block in blocks])
    medians = np.array([np.median(values.to_numpy()[block]) for block in blocks])
    hourly, _, low, high = theilslopes(medians, times)
    return Slope(float(np.median(medians)), float(hourly), float(low), float(high), float(times[-1] - times[0]))


if __name__ == "__main__":
    main()
