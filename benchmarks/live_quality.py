"""Quality of the running platform's scores of the simulated shop: measured against the topic `simulation-truth`.

./fraudctl bench live_quality
"""

import json
import os
from collections import defaultdict

import numpy as np
from confluent_kafka import Consumer, TopicPartition
from sklearn.metrics import average_precision_score, roc_auc_score

from fraudstream.settings import load_settings
from fraudstream.storage.connect import connect

SCORED = """
SELECT transaction_id, fraud_score, is_fraud FROM fraud.scored_transactions
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
    known = truth()
    settings = load_settings()
    with connect(settings, settings.postgres.writer, name="bench live_quality") as connection:
        rows = [(known[name], score, flag) for name, score, flag in connection.execute(SCORED) if name in known]
    fraud = np.array([is_fraud for (is_fraud, _), _, _ in rows])
    scores = np.array([score for _, score, _ in rows])
    flagged = np.array([flag for _, _, flag in rows])
    print(f"{len(rows)} transactions, {fraud.sum()} frauds, {flagged.sum()} flagged")
    print(f"AUC ROC {roc_auc_score(fraud, scores):.3f}, average precision {average_precision_score(fraud, scores):.3f}")
    print(f"precision {fraud[flagged].mean():.3f}, recall {flagged[fraud].mean():.3f}")
    caught: dict[str, list[bool]] = defaultdict(list)
    for (is_fraud, scenario), _, flag in rows:
        if is_fraud:
            caught[scenario].append(flag)
    for scenario, flags in sorted(caught.items()):
        print(f"  {scenario}: {sum(flags)} of {len(flags)}")


if __name__ == "__main__":
    main()
