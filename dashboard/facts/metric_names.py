"""The names of the metrics in URLs."""

from dora_metrics.explain import METRICS


class MetricConverter:
    """Matches the name of a metric only, so that no other address below a service is taken for a value."""

    regex = "|".join(METRICS)

    def to_python(self, text: str) -> str:
        return text

    def to_url(self, name: str) -> str:
        return name
