from django.apps import AppConfig


class EtlTasksConfig(AppConfig):
    name = "etl_tasks"
    verbose_name = "ETL"

    def ready(self) -> None:
        from etl_tasks.sources import validation  # noqa: F401  importing it connects its signal receiver
