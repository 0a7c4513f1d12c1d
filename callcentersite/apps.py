"""The project's own app: registers the settings' checks."""

from django.apps import AppConfig


class CallCenterSiteConfig(AppConfig):
    name = "callcentersite"

    def ready(self) -> None:
        from callcentersite import checks  # noqa: F401  importing it registers them
