"""The groups that every installation starts with: Viewer reads everything, Operator also acts."""

from typing import Any

from django.apps import apps as installed_apps
from django.db.models import Q, QuerySet

READ_APPS = ("dora_metrics", "etl_tasks", "log_store", "django_celery_beat", "django_celery_results")
OPERATED_MODELS = {
    "dora_metrics": ("service", "alertrule", "apitoken"),
    "etl_tasks": ("source",),
    "django_celery_beat": ("periodictask", "crontabschedule", "intervalschedule"),
}
# Who logs in from where is for administrators only.
NOT_FOR_GROUPS = "loginattempts"
OPERATOR_CODENAMES = ("start_etlrun", "replay_deadletter")


def create_groups(**_signal: Any) -> None:
    """Create the groups that do not exist. An existing group is left as its administrator has set it."""
    group_model = installed_apps.get_model("auth", "Group")
    for name, permissions in (("Viewer", _viewer_permissions()), ("Operator", _viewer_permissions() | _operator_permissions())):
        group, is_new = group_model.objects.get_or_create(name=name)
        if is_new:
            group.permissions.set(permissions)


def _permissions() -> QuerySet[Any]:
    return installed_apps.get_model("auth", "Permission").objects.order_by("pk")


def _viewer_permissions() -> QuerySet[Any]:
    return _permissions().filter(content_type__app_label__in=READ_APPS, codename__startswith="view_").exclude(content_type__model=NOT_FOR_GROUPS)


def _operator_permissions() -> QuerySet[Any]:
    wanted = Q(codename__in=OPERATOR_CODENAMES)
    for app, models in OPERATED_MODELS.items():
        wanted |= Q(content_type__app_label=app, content_type__model__in=models)
    return _permissions().filter(wanted)
