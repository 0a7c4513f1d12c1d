"""The tables of the pipeline: sources, runs, staged pages, dead letters and faults."""

from etl_tasks.models.dead_letter import DeadLetter
from etl_tasks.models.fault import Fault
from etl_tasks.models.run import ETLRun, StreamProgress
from etl_tasks.models.source import Cursor, Source, source_validation
from etl_tasks.models.staging import CleanBatch, StagedPage, compressed, decompressed

__all__ = [
    "CleanBatch",
    "Cursor",
    "DeadLetter",
    "ETLRun",
    "Fault",
    "Source",
    "StagedPage",
    "StreamProgress",
    "compressed",
    "decompressed",
    "source_validation",
]
