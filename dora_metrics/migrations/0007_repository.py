import django.db.models.deletion
from django.db import migrations, models

FACTS = ("Deployment", "WorkflowRun", "Change", "Commit", "Issue", "Release")


def give_each_service_its_repository(apps, schema_editor):
    """What is stored was collected from one repository a service; etl_tasks parts the facts of services with several."""
    Repository = apps.get_model("dora_metrics", "Repository")
    Coverage = apps.get_model("dora_metrics", "Coverage")
    Coverage.objects.filter(stream__startswith="log_").update(is_of_logs=True)
    for service in apps.get_model("dora_metrics", "Service").objects.all():
        stored = [apps.get_model("dora_metrics", name).objects.filter(service=service) for name in FACTS]
        stored.append(Coverage.objects.filter(service=service, is_of_logs=None))
        if not service.repositories and not any(rows.exists() for rows in stored):
            continue
        repository = Repository.objects.create(
            service=service,
            name=service.repositories[-1] if service.repositories else service.name,
            names=service.repositories,
            default_branch=service.default_branch,
            default_branches=[service.default_branch] if service.default_branch else [],
            has_paths=service.has_paths,
        )
        for rows in stored:
            rows.update(repository=repository)


def give_back(apps, schema_editor):
    for service in apps.get_model("dora_metrics", "Service").objects.all():
        for repository in apps.get_model("dora_metrics", "Repository").objects.filter(service=service):
            service.repositories = [*service.repositories, *(name for name in repository.names if name not in service.repositories)]
            service.default_branch = service.default_branch or repository.default_branch
            service.has_paths = service.has_paths or repository.has_paths
        service.save()


def of_a_repository(model, **more):
    field = models.ForeignKey(db_index=False, null=True, on_delete=django.db.models.deletion.CASCADE, to="dora_metrics.repository", **more)
    return migrations.AddField(model_name=model, name="repository", field=field)


class Migration(migrations.Migration):

    dependencies = [
        ("dora_metrics", "0006_log_issue_hours"),
    ]

    operations = [
        migrations.CreateModel(
            name="Repository",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(help_text="owner/name, as GitHub last told", max_length=200)),
                ("names", models.JSONField(blank=True, default=list, help_text="every owner/name that it was ever known by: what closes or reverts here")),
                ("github_id", models.BigIntegerField(blank=True, help_text="by which it is followed when it is renamed; empty before its first collection", null=True)),
                ("node_id", models.CharField(blank=True, help_text="the same for GraphQL", max_length=100)),
                ("default_branch", models.CharField(blank=True, help_text="as GitHub last told", max_length=250)),
                ("default_branches", models.JSONField(blank=True, default=list, help_text="every name that its default branch was ever known by")),
                ("has_paths", models.BooleanField(default=False, help_text="its pull requests were collected with the files that they change")),
                ("is_collected", models.BooleanField(default=True, help_text="an enabled source collects it; else it holds no metric up")),
                # Its other end gets its name when the service's field of that name is gone.
                ("service", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="dora_metrics.service")),
            ],
            options={
                "verbose_name_plural": "repositories",
                "ordering": ["pk"],
                "constraints": [models.UniqueConstraint(fields=("service", "github_id"), name="repository_once")],
            },
        ),
        migrations.AddField(model_name="coverage", name="is_of_logs", field=models.BooleanField(null=True)),
        of_a_repository("coverage", related_name="coverage", help_text="empty for what is known of the logs"),
        *(of_a_repository(name.lower()) for name in FACTS),
        migrations.RunPython(give_each_service_its_repository, give_back),
    ]
