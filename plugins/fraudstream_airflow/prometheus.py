"""The platform's metrics as Prometheus reads them."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from fraudstream.settings import Settings
from fraudstream.watch import metrics
from fraudstream.watch.metrics import METRICS, MetricType

CONTENT_TYPE = CONTENT_TYPE_LATEST
_FAMILIES = {MetricType.COUNTER: CounterMetricFamily, MetricType.GAUGE: GaugeMetricFamily}


def exposition(settings: Settings) -> bytes:
    """All metrics now, in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Platform(settings))
    return bytes(generate_latest(registry))


class _Platform(Collector):
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def collect(self) -> Iterator[Metric]:
        """A family for each metric that has a value."""
        samples = metrics.collect(self._settings)
        for metric in METRICS:
            family = _FAMILIES[metric.type](metric.name, metric.help, labels=metric.labels)
            for sample in samples:
                if sample.metric == metric.name:
                    family.add_metric(sample.labels, sample.value)
            if family.samples:
                yield family
