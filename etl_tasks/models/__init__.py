"""The tables of the pipeline: sources, runs, staged pages, dead letters, faults and signs of life."""

from etl_tasks.models.dead_letter import DeadLetter
from etl_tasks.models.fault import Fault
from etl_tasks.models.heartbeat import GitHubBudget, Heartbeat, NightPing
from etl_tasks.models.run import ETLRun, StageTime, StreamProgress
from etl_tasks.models.source import Cursor, Source, source_validation
from etl_tasks.models.staging import CleanBatch, StagedPage, compressed, decompressed

__all__ = [
    "CleanBatch",
    "Cursor",
    "DeadLetter",
    "ETLRun",
    "Fault",
    "GitHubBudget",
    "Heartbeat",
    "NightPing",
    "Source",
    "StageTime",
    "StagedPage",
    "StreamProgress",
    "compressed",
    "decompressed",
    "source_validation",
]
