"""Deployments from a CSV file with the columns id, commit, environment, started, finished and state (success or failure)."""

import csv
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from django.utils.timezone import now

from etl_tasks.errors import FatalError
from etl_tasks.models import Source
from etl_tasks.outcomes import Bad, Good
from etl_tasks.sources.adapter import Adapter, Check, Job, Page

COLUMNS = {"id", "commit", "environment", "started", "finished", "state"}
STREAM = "deployments"  # under this name the metrics look up how far deployments were collected


class CsvDeployments(Adapter):
    label = "deployments from a CSV file"
    needed = ("path",)
    reads_files = True

    def validate(self, source: Source) -> None:
        if not source.path.endswith(".csv"):
            raise ValueError(f"{source.path} is no CSV file: its name must end with .csv")
        datetime.fromisoformat(source.options.get("since", "2026-01-01"))

    def check(self, source: Source) -> Check:
        try:
            rows = _rows(_read(source))
        except FatalError as exc:
            return Check(can_be_read=False, sentences=[str(exc)])
        return Check(can_be_read=True, sentences=[f"{source.path} has {len(rows)} deployments"])

    def pages(self, job: Job) -> Iterator[Page]:
        """The whole file each night: what has not changed is skipped when it is loaded."""
        if STREAM in job.progress:
            return  # an attempt before this one has staged it
        read_at, body = now(), _read(job.source)
        since = job.cursors.get(STREAM, {}).get("collected_from", job.source.options.get("since", read_at.isoformat()))
        yield Page(
            stream=STREAM,
            url=f"file://{job.source.path}",
            body=body,
            record_count=len(_rows(body)),
            fetched_at=read_at,
            cursor={"collected_from": since, "collected_until": read_at.isoformat()},
            is_done=True,
        )

    def fact(self, stream: str, context: Mapping[str, Any]) -> str:
        return "deployment"

    def clean(self, source: Source, stream: str, content: bytes, context: Mapping[str, Any]) -> Iterator[Good | Bad]:
        for index, row in enumerate(_rows(content)):
            try:
                yield Good(_deployment(row))
            except ValueError as exc:
                yield Bad(index=index, key=row["id"], data=str(row), error=str(exc))


def _read(source: Source) -> bytes:
    try:
        return Path(source.path).read_bytes()
    except OSError as exc:
        raise FatalError(f"{source.path}: {exc.strerror}") from exc


def _rows(content: bytes) -> list[dict[str, str]]:
    reader = csv.DictReader(content.decode("utf-8", "replace").splitlines(), restval="")
    if missing := COLUMNS - set(reader.fieldnames or ()):
        raise FatalError(f"the file has no column {', '.join(sorted(missing))}")
    return list(reader)


def _deployment(row: dict[str, str]) -> dict[str, Any]:
    """A row of the model Deployment."""
    started, finished = (datetime.fromisoformat(row[name]) for name in ("started", "finished"))
    if not started.tzinfo or not finished.tzinfo:
        raise ValueError("a time needs its zone: write it as 2026-02-28T14:00:00Z")
    if row["state"] not in ("success", "failure"):
        raise ValueError(f"the state is {row['state']!r}, not success or failure")
    return {
        "external_id": int(row["id"]),
        "environment": row["environment"],
        "sha": row["commit"],
        "state": row["state"],
        "created_at": started.isoformat(),
        "version_at": finished.isoformat(),
        "statuses": [{"state": row["state"], "created_at": finished.isoformat(), "log_url": ""}],
        "status_count": 1,
    }
