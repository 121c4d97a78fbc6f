"""Quality of the running platform's scores of the simulated shop: measured against the topic `simulation-truth`.

    ./fraudctl bench live_quality
    ./fraudctl bench live_quality -- --step 10

All that the champion scored; then each step, from the first score on.
"""

import argparse
import json
import os
from collections import defaultdict

import numpy as np
from confluent_kafka import Consumer, TopicPartition
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score

from fraudstream.settings import load_settings
from fraudstream.storage.connect import connect

#: At which precision is told, too.
RECALL = 0.8
SCORED = """
SELECT transaction_id, fraud_score, is_fraud,
    extract(epoch FROM committed_at - min(committed_at) OVER ()) / 60 AS minute
FROM fraud.scored_transactions
WHERE model_version = (SELECT version FROM fraud.model_versions WHERE status = 'champion')
"""


def truth() -> dict[str, tuple[bool, str]]:
    """Truth of each transaction: is it fraud, and the scenario that made it."""
    consumer = Consumer({"bootstrap.servers": os.environ["KAFKA_BOOTSTRAP"], "group.id": "live-quality"})
    partitions = consumer.list_topics("simulation-truth", 10).topics["simulation-truth"].partitions
    ends = {p: consumer.get_watermark_offsets(TopicPartition("simulation-truth", p), 10)[1] for p in partitions}
    consumer.assign([TopicPartition("simulation-truth", p, 0) for p in partitions])
    found: dict[str, tuple[bool, str]] = {}
    for _ in range(sum(ends.values())):
        message = consumer.poll(30)
        if message is None or message.error():
            raise SystemExit(f"Kafka stopped answering: {message and message.error()}")
        value = json.loads(message.value() or b"")
        found[value["transaction_id"]] = value["is_fraud"], value["scenario"]
    consumer.close()
    return found


def main() -> None:
    """Prints the figures of what the champion has scored so far."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step", type=float, default=3.0, help="minutes (3)")
    step = parser.parse_args().step
    known = truth()
    settings = load_settings()
    with connect(settings, settings.postgres.writer, name="bench live_quality") as connection:
        rows = [(known[row[0]], *row[1:]) for row in connection.execute(SCORED) if row[0] in known]
    fraud = np.array([is_fraud for (is_fraud, _), *_ in rows])
    scores = np.array([score for _, score, *_ in rows])
    flagged = np.array([flag for _, _, flag, _ in rows])
    minutes = np.array([float(minute) for *_, minute in rows])
    print(f"{len(rows)} transactions, {fraud.sum()} frauds, {flagged.sum()} flagged")
    print(f"AUC ROC {roc_auc_score(fraud, scores):.3f}, average precision {average_precision_score(fraud, scores):.3f}")
    print(f"precision {fraud[flagged].mean():.3f}, recall {flagged[fraud].mean():.3f}")
    caught: dict[str, list[bool]] = defaultdict(list)
    for (is_fraud, scenario), _, flag, _ in rows:
        if is_fraud:
            caught[scenario].append(flag)
    for scenario, flags in sorted(caught.items()):
        print(f"  {scenario}: {sum(flags)} of {len(flags)}")
    for first in np.arange(0, minutes.max(), step):
        here = (minutes >= first) & (minutes < first + step)
        hits = int(np.count_nonzero(here & fraud & flagged))
        print(
            f"  minutes {first:g} to {first + step:g}: {here.sum()} transactions, "
            f"precision {_share(hits, here & flagged)}, recall {_share(hits, here & fraud)}; at recall "
            f"{RECALL:.2f} another threshold would have precision {_precision_at(RECALL, fraud[here], scores[here])}"
        )


def _precision_at(recall: float, fraud: np.ndarray, scores: np.ndarray) -> str:
    """The best precision of these scores among thresholds of at least this recall."""
    if not fraud.any():
        return "of no fraud"
    precisions, recalls, _ = precision_recall_curve(fraud, scores)
    return f"{precisions[recalls >= recall].max():.2f}"


def _share(hits: int, of: np.ndarray) -> str:
    return f"{hits / of.sum():.2f} of {of.sum()}" if of.any() else "of none"


if __name__ == "__main__":
    main()
