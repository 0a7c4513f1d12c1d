"""The pages, and the admin of all apps. Only callcentersite/urls.py imports this app."""

from django.apps import AppConfig, apps
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _

from dashboard.groups import create_groups


class DashboardConfig(AppConfig):
    name = "dashboard"
    verbose_name = _("Pages")

    def ready(self) -> None:
        # Of the apps with models, etl_tasks is the last in INSTALLED_APPS: when its signal is sent, all permissions exist.
        # Django sends no signal for an app without models, such as this one.
        post_migrate.connect(create_groups, sender=apps.get_app_config("etl_tasks"))
