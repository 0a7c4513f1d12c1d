from django.apps import AppConfig


class EtlTasksConfig(AppConfig):
    name = "etl_tasks"
    verbose_name = "ETL"
