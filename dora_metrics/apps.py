from django.apps import AppConfig


class DoraMetricsConfig(AppConfig):
    name = "dora_metrics"
    verbose_name = "DORA metrics"

    def ready(self) -> None:
        from dora_metrics import alerts  # noqa: F401  connects the log receiver
