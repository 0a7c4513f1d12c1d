"""The rows that migrate creates: beat's schedule and the alert rules. A transactional test empties all tables; then they are created again."""

from importlib import import_module

from django.apps import apps
from django.db.models.signals import post_migrate


def seed(**_: object) -> None:
    # By name, because the names of these modules begin with a digit.
    import_module("dora_metrics.migrations.0001_initial").seed_alert_rules(apps, None)
    import_module("etl_tasks.migrations.0001_initial").seed_schedule(apps, None)


def seed_after_each_flush() -> None:
    """Django sends this signal after it has emptied the tables, too."""
    post_migrate.connect(seed, sender=apps.get_app_config("etl_tasks"), dispatch_uid="tests.seeds")
