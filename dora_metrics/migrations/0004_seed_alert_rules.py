"""Two rules that every team wants, made once: what a person changes or deletes afterwards stays so."""

from django.db import migrations

RULES = (
    {"name": "no production deployment", "kind": "no_deployment", "level": "critical", "threshold": 14},
    {"name": "change fail rate", "kind": "fail_rate", "level": "warning", "threshold": 15, "window": 20},
)


def seed(apps, schema_editor):
    rules = apps.get_model("dora_metrics", "AlertRule").objects
    for rule in RULES:
        rules.get_or_create(name=rule["name"], defaults=rule)


class Migration(migrations.Migration):
    dependencies = [("dora_metrics", "0003_five_metrics")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
