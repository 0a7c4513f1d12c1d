"""The admin, with a site of our own. It is not in apps.py, because this import takes time that a process without pages need not spend."""

from django.contrib.admin.apps import AdminConfig as DjangoAdminConfig


class AdminConfig(DjangoAdminConfig):
    default_site = "dashboard.admin_site.Site"
