from django.apps import AppConfig


class DoraMetricsConfig(AppConfig):
    name = "dora_metrics"
    verbose_name = "DORA metrics"

    def ready(self) -> None:
        from dora_metrics.alerts import email_and_webhook  # noqa: F401  the import connects the receivers
