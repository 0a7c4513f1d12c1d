"""The app of the project itself. It registers the system checks of checks.py."""

from django.apps import AppConfig


class CallCenterSiteConfig(AppConfig):
    name = "callcentersite"

    def ready(self) -> None:
        # Imported here because checks.py imports models, which is possible only when Django has loaded the apps. The import registers the checks.
        from callcentersite import checks  # noqa: F401
