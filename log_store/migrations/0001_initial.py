"""The tables of log events in the SQL database."""

from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='LogEventRow',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event_id', models.CharField(max_length=64, unique=True)),
                ('source', models.CharField(max_length=100)),
                ('time', models.DateTimeField()),
                ('level', models.CharField(max_length=10)),
                ('service', models.TextField(blank=True)),
                ('host', models.TextField(blank=True)),
                ('logger', models.TextField(blank=True)),
                ('message', models.TextField(blank=True)),
                ('method', models.TextField(blank=True)),
                ('path', models.TextField(blank=True)),
                ('status', models.IntegerField(null=True)),
                ('duration_ms', models.FloatField(null=True)),
                ('trace_id', models.TextField(blank=True)),
                ('extra', models.JSONField(default=dict)),
            ],
            options={
                'verbose_name': 'log event',
                'indexes': [models.Index(fields=['source', 'time', 'event_id'], name='event_in_order'), models.Index(fields=['source', 'level', 'time', 'event_id'], name='event_of_level')],
            },
        ),
        migrations.CreateModel(
            name='LogSumRow',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('source', models.CharField(max_length=100)),
                ('hour', models.DateTimeField()),
                ('segment', models.CharField(max_length=64)),
                ('levels', models.JSONField(default=dict)),
            ],
            options={
                'verbose_name': 'sum of log events',
                'verbose_name_plural': 'sum of log events',
                'constraints': [models.UniqueConstraint(fields=('source', 'hour', 'segment'), name='log_sum_once')],
            },
        ),
    ]
