"""The app of the project itself, which registers the system checks of checks.py and makes our Celery application the current one."""

from django.apps import AppConfig, apps


class CallCenterSiteConfig(AppConfig):
    name = "callcentersite"

    def ready(self) -> None:
        # Imported here because they import models, which is possible only when Django has loaded the apps.
        from callcentersite.translated_labels import translate_labels

        translate_labels()
        if apps.is_installed("django_celery_beat"):
            # Whoever sends a task sends it through the current application. A process without these tables sends none.
            from callcentersite import celery  # noqa: F401
        if apps.is_installed("dashboard"):
            # Checks are run by commands whose process has all apps (installed_apps.py): check, doctor, runserver, migrate.
            from callcentersite import checks  # noqa: F401  the import registers the checks
