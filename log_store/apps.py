from django.apps import AppConfig


class LogStoreConfig(AppConfig):
    name = "log_store"
    verbose_name = "Log store"
