"""The app of the project itself, which registers the system checks of checks.py, and the admin with a site of our own."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig as DjangoAdminConfig


class CallCenterSiteConfig(AppConfig):
    name = "callcentersite"

    def ready(self) -> None:
        # Imported here because checks.py imports models, which is possible only when Django has loaded the apps. The import registers the checks.
        from callcentersite import checks  # noqa: F401
        from callcentersite.translated_labels import translate_labels

        translate_labels()


class AdminConfig(DjangoAdminConfig):
    default_site = "dashboard.admin_site.Site"
