import django.db.models.deletion
from django.db import migrations, models

FACTS = ("Deployment", "WorkflowRun", "Change", "Commit", "Issue", "Release")


def give_each_source_its_repository(apps, schema_editor):
    """The sources of one service have written over each other's facts: each takes those whose address names its repository, and reads all again."""
    Source = apps.get_model("etl_tasks", "Source")
    Repository = apps.get_model("dora_metrics", "Repository")
    for service in apps.get_model("dora_metrics", "Service").objects.all():
        stored = Repository.objects.filter(service=service).first()
        seen = set()  # two sources may read one repository: the second is told so when it is collected
        sources = list(Source.objects.filter(service=service, kind="github").order_by("pk"))
        for source in sources:
            home = stored
            if home is None or len(sources) > 1:
                home = Repository.objects.create(service=service)
            home.name = source.repository
            if source.repository_id not in seen:
                home.github_id, home.node_id = source.repository_id, source.repository_node_id
                seen.add(source.repository_id)
            if len(sources) > 1 and source.repository_id:
                home.names = [source.repository]
            home.is_collected = source.is_enabled
            home.save()
            source.facts_repository = home
            source.save()
            if stored is not None and stored != home:
                for name in FACTS:
                    ours = apps.get_model("dora_metrics", name).objects.filter(repository=stored, url__icontains=f"/{source.repository}/")
                    ours.update(repository=home)
        if stored is not None and not sources:
            Repository.objects.filter(pk=stored.pk).update(is_collected=False)
        if stored is not None and len(sources) > 1:
            apps.get_model("etl_tasks", "Cursor").objects.filter(source__in=sources).delete()
            stored.delete()  # with what belongs to none of them, and what was said to be complete


def give_back(apps, schema_editor):
    for source in apps.get_model("etl_tasks", "Source").objects.filter(facts_repository__isnull=False):
        source.repository_id = source.facts_repository.github_id
        source.repository_node_id = source.facts_repository.node_id
        source.save()


class Migration(migrations.Migration):

    dependencies = [
        ("dora_metrics", "0008_facts_of_a_repository"),
        ("etl_tasks", "0008_run_steps"),
    ]

    operations = [
        migrations.AddField(
            model_name="source",
            name="facts_repository",
            field=models.OneToOneField(
                blank=True,
                editable=False,
                help_text="what its facts belong to",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="source",
                to="dora_metrics.repository",
            ),
        ),
        migrations.RunPython(give_each_source_its_repository, give_back),
        migrations.RemoveField(model_name="source", name="repository_id"),
        migrations.RemoveField(model_name="source", name="repository_node_id"),
    ]
