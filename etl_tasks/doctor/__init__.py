"""Every setting, credential and server, checked and described in words: for the command `doctor`, or a page."""

from etl_tasks.doctor.examination import Area, examine
from etl_tasks.doctor.findings import Finding, Level, worst

__all__ = ["Area", "Finding", "Level", "examine", "worst"]
