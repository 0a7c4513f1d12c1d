"""The entries of beat's schedule that migrate creates. They are missing after a test that empties all tables."""

from importlib import import_module

from django.apps import apps


def seed_beat_schedule() -> None:
    import_module("etl_tasks.migrations.0001_initial").seed_schedule(apps, None)  # a module whose name begins with a digit
