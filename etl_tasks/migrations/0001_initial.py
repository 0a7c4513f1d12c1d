"""Create the tables of the pipeline and beat's three entries. People may change the entries in the admin."""

from django.conf import settings
import django.core.validators
import django.db.models.deletion
from django.db import migrations, models


NIGHTLY, SWEEP, PRUNE = "etl nightly", "etl sweep", "etl prune"


def seed_schedule(apps, schema_editor):
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
    # Its messages do not expire. A worker takes from its queues in turns, so it would drop one expired message after each task of an hour full
    # of tasks, and would never come to the newest. A message that comes late does the work of the next ones.
    entries.get_or_create(
        name=SWEEP,
        defaults={
            "task": "etl.sweep",
            "interval": interval,
            "description": "Starts a night that is missing, sends lost runs again.",
        },
    )
    # Celery's own clean-up of results, which deletes all of them in one statement, runs at four and then finds none.
    before_four, _ = apps.get_model("django_celery_beat", "CrontabSchedule").objects.get_or_create(
        minute="20", hour="3", day_of_month="*", month_of_year="*", day_of_week="*", timezone=settings.ETL_TIME_ZONE
    )
    entries.get_or_create(
        name=PRUNE, defaults={"task": "etl.prune", "crontab": before_four, "description": "Deletes what is older than the settings ETL_KEEP_… say."}
    )


def remove_schedule(apps, schema_editor):
    apps.get_model("django_celery_beat", "PeriodicTask").objects.filter(name__in=[NIGHTLY, SWEEP, PRUNE]).delete()


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('django_celery_beat', '0019_alter_periodictasks_options'),
        ('dora_metrics', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='Heartbeat',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=150, unique=True)),
                ('seen_at', models.DateTimeField()),
            ],
            options={
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='GitHubBudget',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('credential', models.CharField(blank=True, help_text="the credential's name; empty for that of GITHUB_TOKEN or GITHUB_APP_ID", max_length=50)),
                ('resource', models.CharField(choices=[('graphql', 'GraphQL points'), ('core', 'REST requests')], max_length=10)),
                ('remaining', models.PositiveIntegerField()),
                ('limit', models.PositiveIntegerField()),
                ('resets_at', models.DateTimeField()),
                ('seen_at', models.DateTimeField(help_text='when GitHub answered')),
            ],
            options={
                'verbose_name': 'GitHub budget',
                'ordering': ['credential', 'resource'],
                'constraints': [models.UniqueConstraint(fields=('credential', 'resource'), name='one_budget_a_resource')],
            },
        ),
        migrations.CreateModel(
            name='NightPing',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('due', models.DateTimeField(help_text='when the night was due', unique=True)),
                ('is_start_sent', models.BooleanField(default=False)),
                ('verdict', models.CharField(blank=True, choices=[('', 'not told yet'), ('good', 'Good'), ('bad', 'Bad')], default='', max_length=10)),
                ('sent_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'ordering': ['due'],
            },
        ),
        migrations.CreateModel(
            name='Fault',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100, unique=True)),
                ('error', models.TextField(help_text='the error of the first failure; later ones are in the log')),
                ('began_at', models.DateTimeField(auto_now_add=True)),
            ],
            options={
                'ordering': ['began_at'],
            },
        ),
        migrations.CreateModel(
            name='Source',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100, unique=True)),
                ('kind', models.CharField(max_length=50)),
                ('repository', models.CharField(blank=True, help_text='GitHub source: owner/name', max_length=200)),
                ('is_archived', models.BooleanField(default=False, editable=False, help_text='as GitHub last reported')),
                ('is_private', models.BooleanField(editable=False, help_text='as GitHub last reported', null=True)),
                ('page_sizes', models.JSONField(blank=True, default=dict, editable=False, help_text='the page size of each list for which GitHub could not complete larger pages')),
                ('credential', models.CharField(blank=True, help_text='GitHub source: empty to use GITHUB_TOKEN or the GitHub App of the environment; X to use GITHUB_TOKEN_X, or GITHUB_APP_ID_X with its private key and installation id', max_length=50, validators=[django.core.validators.RegexValidator('^[A-Z][A-Z0-9_]*\\Z', 'capital letters, digits and _, as in the name of a variable')])),
                ('path', models.CharField(blank=True, help_text='log source: a glob of the files', max_length=500)),
                ('host', models.CharField(blank=True, help_text='the host that has the files: a worker there must take the queue extract@HOST; empty if every worker can read them', max_length=100, validators=[django.core.validators.RegexValidator('^[A-Za-z0-9][A-Za-z0-9._-]*\\Z', 'letters, digits, points, hyphens and underscores, as in the name of a host')])),
                ('options', models.JSONField(blank=True, default=dict, help_text='settings of a kind of your own that have no field here')),
                ('log_format', models.CharField(blank=True, choices=[('json', 'JSON lines'), ('combined', 'Apache or nginx, common or combined'), ('apache_error', "Apache's error log"), ('syslog', 'syslog, RFC 3164 or 5424'), ('python', "Python's logging"), ('logfmt', 'logfmt'), ('log4j', 'log4j'), ('regex', 'a regex with named groups')], max_length=20)),
                ('log_pattern', models.TextField(blank=True, help_text="a regex with named groups, a format string of Python's logging, or a log4j layout; empty to use the format's default")),
                ('log_time_zone', models.CharField(default='UTC', help_text='the time zone of times that name none: an IANA name, or "local" for that of the worker', max_length=50)),
                ('log_fields', models.JSONField(blank=True, default=dict, help_text='the key of JSON or logfmt lines from which a field is read, if it differs: {"message": "text"}')),
                ('deploy_pattern', models.TextField(blank=True, help_text='a regex for lines that report a deployment; its groups sha, environment and state are all optional')),
                ('is_strict', models.BooleanField(default=False, help_text='make a dead letter of each line that does not match the format; otherwise the line is kept as it is')),
                ('every_minutes', models.PositiveSmallIntegerField(blank=True, help_text='also run between the nights, this many minutes after the last run began; empty for nightly runs only', null=True, validators=[django.core.validators.MaxValueValidator(1440)], verbose_name='minutes between runs')),
                ('is_enabled', models.BooleanField(default=True)),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('overdue_alerted_at', models.DateTimeField(blank=True, editable=False, help_text='when the alert was sent that no run has succeeded for too long', null=True)),
                ('deletion_began_at', models.DateTimeField(blank=True, editable=False, help_text='since when the source and everything collected from it is being deleted', null=True)),
                ('host_silent_since', models.DateTimeField(blank=True, editable=False, help_text="since when no worker takes the host's queue", null=True)),
                ('host_alerted_at', models.DateTimeField(blank=True, editable=False, help_text='when the alert about the silent host was sent', null=True)),
                ('facts_repository', models.OneToOneField(blank=True, editable=False, help_text="the repository that the source's facts belong to", null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='source', to='dora_metrics.repository')),
                ('service', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='sources', to='dora_metrics.service')),
            ],
            options={
                'ordering': ['name'],
            },
        ),
        migrations.CreateModel(
            name='ETLRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('pipeline', models.CharField(help_text="the source's name when the run began", max_length=100)),
                ('logical_date', models.DateField(blank=True, help_text='the night that the run belongs to; empty if it ran between two nights or a person started it', null=True)),
                ('trigger', models.CharField(choices=[('beat', 'Beat'), ('interval', 'between nights'), ('shell', 'Shell'), ('command', 'Command'), ('admin', 'Admin'), ('replay', 'Replay')], max_length=10)),
                ('options', models.JSONField(blank=True, default=dict, help_text='since, until and full, as requested; news: what the survey of all sources found for this one')),
                ('status', models.CharField(choices=[('queued', 'Queued'), ('running', 'Running'), ('postponed', 'Postponed'), ('success', 'Success'), ('partial', 'Partial'), ('failed', 'Failed'), ('cancelled', 'Cancelled')], default='queued', help_text='partial: everything was read; records that could not be processed are dead letters, and log events may wait for the log store', max_length=10)),
                ('stage', models.CharField(choices=[('extract', 'Extract'), ('transform', 'Transform'), ('load', 'Load')], default='extract', max_length=10)),
                ('attempt', models.PositiveIntegerField(default=0, help_text='grows with every claim, so that writes of an earlier holder are refused')),
                ('owner', models.CharField(blank=True, help_text='the task id or process that holds the run; empty between stages', max_length=100)),
                ('lease_until', models.DateTimeField(help_text='after this time the sweeper may send the run again')),
                ('steps', models.PositiveIntegerField(default=0, help_text='commits since the stage was claimed: a stage that was stopped may continue if it has committed something')),
                ('resends', models.PositiveSmallIntegerField(default=0, help_text='how often the run was sent again since its last commit')),
                ('task_ids', models.JSONField(blank=True, default=dict, help_text='for each stage, the id of the Celery task that last claimed it')),
                ('extracted', models.PositiveIntegerField(default=0)),
                ('loaded', models.PositiveIntegerField(default=0)),
                ('skipped', models.PositiveIntegerField(default=0, help_text='valid records that were already stored in the same or a newer version')),
                ('dead_lettered', models.PositiveIntegerField(default=0)),
                ('unparsed', models.PositiveIntegerField(default=0, help_text='loaded log lines that do not match the format and are kept as they are')),
                ('waiting', models.PositiveIntegerField(db_index=True, default=0, help_text='log events that wait for the log store, which was away; the sweep loads them when it is back')),
                ('records_processed', models.PositiveIntegerField(default=0, help_text='loaded + skipped + dead_lettered; with those that wait, all that were extracted')),
                ('created_at', models.DateTimeField(auto_now_add=True)),
                ('started_at', models.DateTimeField(blank=True, null=True)),
                ('completed_at', models.DateTimeField(blank=True, null=True)),
                ('duration_seconds', models.FloatField(blank=True, null=True)),
                ('extract_began_at', models.DateTimeField(blank=True, null=True)),
                ('extract_ended_at', models.DateTimeField(blank=True, null=True)),
                ('transform_began_at', models.DateTimeField(blank=True, null=True)),
                ('transform_ended_at', models.DateTimeField(blank=True, null=True)),
                ('load_began_at', models.DateTimeField(blank=True, null=True)),
                ('load_ended_at', models.DateTimeField(blank=True, null=True)),
                ('error', models.TextField(blank=True)),
                ('is_quiet', models.BooleanField(db_index=True, default=False, help_text='a run between two nights that found nothing new; it is deleted once a later run of the source has succeeded')),
                ('active_for', models.OneToOneField(blank=True, editable=False, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='active_run', to='etl_tasks.source')),
                ('source', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='runs', to='etl_tasks.source')),
            ],
            options={
                'verbose_name': 'ETL run',
                'permissions': [('start_etlrun', 'Can start and cancel runs')],
            },
        ),
        migrations.CreateModel(
            name='Cursor',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('stream', models.CharField(max_length=200)),
                ('position', models.JSONField()),
                ('version', models.PositiveIntegerField(default=1, help_text='grows with every move, so that an older run cannot move the cursor back')),
                ('moved_at', models.DateTimeField(auto_now=True)),
                ('source', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='cursors', to='etl_tasks.source')),
            ],
        ),
        migrations.CreateModel(
            name='StagedPage',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('number', models.PositiveIntegerField()),
                ('stream', models.CharField(max_length=200)),
                ('url', models.TextField()),
                ('context', models.JSONField(default=dict, help_text='what is needed to read the body, such as the file and offset of a chunk')),
                ('body', models.BinaryField()),
                ('sha256', models.CharField(max_length=64)),
                ('record_count', models.PositiveIntegerField()),
                ('fetched_at', models.DateTimeField()),
                ('is_clean', models.BooleanField(default=False)),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='pages', to='etl_tasks.etlrun')),
            ],
        ),
        migrations.CreateModel(
            name='DeadLetter',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('record_index', models.PositiveIntegerField(blank=True, help_text='the index of the record in the page, from 0; empty for a whole page', null=True)),
                ('key', models.CharField(help_text='identifies the failure: if it happens again, this letter counts another attempt', max_length=150)),
                ('kind', models.CharField(choices=[('stage', 'a stage of a run'), ('page', 'a page or file that could not be read'), ('record', 'Record'), ('lost', 'a record that the source did not return')], max_length=10)),
                ('stage', models.CharField(choices=[('extract', 'Extract'), ('transform', 'Transform'), ('load', 'Load')], max_length=10)),
                ('stream', models.CharField(blank=True, max_length=200)),
                ('data', models.TextField(blank=True)),
                ('error', models.TextField()),
                ('timestamp', models.DateTimeField(auto_now_add=True)),
                ('state', models.CharField(choices=[('open', 'Open'), ('replayed', 'Replayed'), ('discarded', 'Discarded')], default='open', max_length=10)),
                ('attempts', models.PositiveIntegerField(default=1)),
                ('resolved_at', models.DateTimeField(blank=True, null=True)),
                ('resolved_by', models.CharField(blank=True, max_length=150)),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='dead_letters', to='etl_tasks.etlrun')),
                ('source', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='dead_letters', to='etl_tasks.source')),
                ('page', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='dead_letters', to='etl_tasks.stagedpage')),
            ],
            options={
                'db_table': 'dead_letter_queue',
                'permissions': [('replay_deadletter', 'Can replay or discard a dead letter')],
            },
        ),
        migrations.CreateModel(
            name='CleanBatch',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(help_text='the kind of fact: a key of fact_kinds.KINDS, or log_event', max_length=30)),
                ('records', models.BinaryField(help_text='a compressed JSON list')),
                ('record_count', models.PositiveIntegerField()),
                ('dead_lettered', models.PositiveIntegerField(default=0)),
                ('unparsed', models.PositiveIntegerField(default=0)),
                ('is_loaded', models.BooleanField(default=False, help_text='whether the facts, or the deployments in log events, are in the SQL database')),
                ('is_stored', models.BooleanField(default=False, help_text='whether the log events are in the log store')),
                ('page', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, related_name='batch', to='etl_tasks.stagedpage')),
            ],
            options={
                'verbose_name_plural': 'clean batches',
            },
        ),
        migrations.CreateModel(
            name='StreamProgress',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('stream', models.CharField(max_length=200)),
                ('resume', models.JSONField(default=dict, help_text='where the next request continues')),
                ('cursor', models.JSONField(help_text='the position to which the cursor will move')),
                ('began_at_version', models.PositiveIntegerField(default=0, help_text="the cursor's version when the run began; 0 if there was no cursor")),
                ('is_done', models.BooleanField(default=False)),
                ('run', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='progress', to='etl_tasks.etlrun')),
            ],
            options={
                'verbose_name': 'stream progress',
                'verbose_name_plural': 'stream progress',
            },
        ),
        migrations.AddIndex(
            model_name='etlrun',
            index=models.Index(fields=['status', 'lease_until'], name='run_lapsed'),
        ),
        migrations.AddIndex(
            model_name='etlrun',
            index=models.Index(fields=['source', '-id'], name='run_latest'),
        ),
        migrations.AddIndex(
            model_name='etlrun',
            index=models.Index(fields=['completed_at'], name='run_ended'),
        ),
        migrations.AddIndex(
            model_name='etlrun',
            index=models.Index(fields=['created_at'], name='run_by_time'),
        ),
        migrations.AddIndex(
            model_name='etlrun',
            index=models.Index(fields=['status', '-id'], name='run_by_status'),
        ),
        migrations.AddIndex(
            model_name='etlrun',
            index=models.Index(fields=['trigger', '-id'], name='run_by_trigger'),
        ),
        migrations.AddConstraint(
            model_name='etlrun',
            constraint=models.UniqueConstraint(fields=('logical_date', 'source'), name='one_run_a_night'),
        ),
        migrations.AddConstraint(
            model_name='cursor',
            constraint=models.UniqueConstraint(fields=('source', 'stream'), name='cursor_once'),
        ),
        migrations.AddConstraint(
            model_name='stagedpage',
            constraint=models.UniqueConstraint(fields=('run', 'number'), name='page_once'),
        ),
        migrations.AddIndex(
            model_name='deadletter',
            index=models.Index(fields=['state', '-timestamp'], name='letter_by_state'),
        ),
        migrations.AddConstraint(
            model_name='deadletter',
            constraint=models.UniqueConstraint(fields=('source', 'key'), name='one_letter_a_failure'),
        ),
        migrations.AddConstraint(
            model_name='streamprogress',
            constraint=models.UniqueConstraint(fields=('run', 'stream'), name='progress_once'),
        ),
        migrations.RunPython(seed_schedule, remove_schedule),
    ]
