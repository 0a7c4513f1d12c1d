from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class DoraMetricsConfig(AppConfig):
    name = "dora_metrics"
    verbose_name = _("DORA metrics")

    def ready(self) -> None:
        from dora_metrics.alerts import receivers  # noqa: F401  the import connects them
