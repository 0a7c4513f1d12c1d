import django.db.models.deletion
from django.db import migrations, models

KEYS = {
    "deployment": ("external_id",),
    "workflowrun": ("external_id", "attempt"),
    "change": ("number",),
    "commit": ("sha",),
    "issue": ("number",),
    "release": ("external_id",),
}
CONSTRAINTS = {"workflowrun": "workflow_run_once"}
BY_TIME = {"deployment": "deployment_by_time", "workflowrun": "workflow_run_by_time", "release": "release_by_time"}


def belong_to_a_repository(model, key):
    name = CONSTRAINTS.get(model, f"{model}_once")
    required = models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, to="dora_metrics.repository")
    return [
        migrations.AlterField(model_name=model, name="repository", field=required),
        migrations.RemoveConstraint(model_name=model, name=name),
        migrations.AddConstraint(model_name=model, constraint=models.UniqueConstraint(fields=("repository", *key), name=name)),
    ]


def by_time_of_a_repository(model, name):
    return [
        migrations.RemoveIndex(model_name=model, name=name),
        migrations.AddIndex(model_name=model, index=models.Index(fields=["repository", "created_at"], name=name)),
    ]


class Migration(migrations.Migration):

    dependencies = [
        ("dora_metrics", "0007_repository"),
    ]

    operations = [
        *(operation for model, key in KEYS.items() for operation in belong_to_a_repository(model, key)),
        *(operation for model, name in BY_TIME.items() for operation in by_time_of_a_repository(model, name)),
        migrations.RemoveConstraint(model_name="coverage", name="coverage_once"),
        migrations.AddConstraint(model_name="coverage", constraint=models.UniqueConstraint(fields=("repository", "stream"), name="coverage_once")),
        migrations.AddConstraint(
            model_name="coverage", constraint=models.UniqueConstraint(fields=("service", "stream", "is_of_logs"), name="log_coverage_once")
        ),
        migrations.RemoveField(model_name="service", name="default_branch"),
        migrations.RemoveField(model_name="service", name="has_paths"),
        migrations.RemoveField(model_name="service", name="repositories"),
        migrations.AlterField(
            model_name="repository",
            name="service",
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="repositories", to="dora_metrics.service"),
        ),
    ]
