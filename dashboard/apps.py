"""The pages outside the admin. Only callcentersite/urls.py imports this app."""

from django.apps import AppConfig


class DashboardConfig(AppConfig):
    name = "dashboard"
    verbose_name = "Pages"
