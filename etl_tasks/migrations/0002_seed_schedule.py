"""The entries of beat, once: what people change in the admin afterwards stands."""

from django.conf import settings
from django.db import migrations

NIGHTLY, SWEEP = "etl nightly", "etl sweep"


def seed(apps, schema_editor):
    minute, hour, day_of_month, month_of_year, day_of_week = settings.ETL_SCHEDULE.split()
    crontab, _ = apps.get_model("django_celery_beat", "CrontabSchedule").objects.get_or_create(
        minute=minute,
        hour=hour,
        day_of_month=day_of_month,
        month_of_year=month_of_year,
        day_of_week=day_of_week,
        timezone=settings.ETL_TIME_ZONE,
    )
    interval, _ = apps.get_model("django_celery_beat", "IntervalSchedule").objects.get_or_create(every=settings.ETL_SWEEP_SECONDS, period="seconds")
    entries = apps.get_model("django_celery_beat", "PeriodicTask").objects
    entries.get_or_create(name=NIGHTLY, defaults={"task": "etl.nightly", "crontab": crontab, "description": "One chain for each enabled source."})
    # A sweep that waited longer than this is made up for by the next one.
    entries.get_or_create(
        name=SWEEP,
        defaults={
            "task": "etl.sweep",
            "interval": interval,
            "expire_seconds": 50,
            "description": "Starts a night that is missing, sends lost runs again.",
        },
    )


def unseed(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name__in=[NIGHTLY, SWEEP]).delete()


class Migration(migrations.Migration):
    dependencies = [("etl_tasks", "0001_initial"), ("django_celery_beat", "0019_alter_periodictasks_options")]
    operations = [migrations.RunPython(seed, unseed)]
