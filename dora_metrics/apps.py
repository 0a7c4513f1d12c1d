from django.apps import AppConfig


class DoraMetricsConfig(AppConfig):
    name = "dora_metrics"
    verbose_name = "DORA metrics"

    def ready(self) -> None:
        from dora_metrics import alert_receivers, alerts  # noqa: F401  importing them connects the receivers
