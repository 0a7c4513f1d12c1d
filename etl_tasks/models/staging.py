"""Staged copies of a source's answers, and the validated records made from them."""

import zstandard
from django.db import models

from etl_tasks.models.run import ETLRun

ZSTD_LEVEL = 1


class StagedPage(models.Model):
    """One answer of a source, unchanged and compressed. A page of a list, or a chunk of a log file, is one row with any number of records."""

    run = models.ForeignKey(ETLRun, on_delete=models.CASCADE, related_name="pages")
    number = models.PositiveIntegerField()
    stream = models.CharField(max_length=200)
    url = models.TextField()
    context = models.JSONField(default=dict, help_text="what is needed to read the body, such as the file and offset of a chunk")
    body = models.BinaryField()
    sha256 = models.CharField(max_length=64)
    record_count = models.PositiveIntegerField()
    fetched_at = models.DateTimeField()
    is_clean = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="page_once")]

    def __str__(self) -> str:
        return f"{self.run}, page {self.number}"

    @property
    def content(self) -> bytes:
        return decompressed(bytes(self.body))


class CleanBatch(models.Model):
    """The validated records of one page. Two marks say whether the SQL database and the log store have them."""

    page = models.OneToOneField(StagedPage, on_delete=models.CASCADE, related_name="batch")
    kind = models.CharField(max_length=30, help_text="the kind of fact: a key of fact_kinds.KINDS, or log_event")
    records = models.BinaryField(help_text="a compressed JSON list")
    record_count = models.PositiveIntegerField()
    dead_lettered = models.PositiveIntegerField(default=0)
    unparsed = models.PositiveIntegerField(default=0)
    is_loaded = models.BooleanField(default=False, help_text="whether the facts, or the deployments in log events, are in the SQL database")
    is_stored = models.BooleanField(default=False, help_text="whether the log events are in the log store")

    class Meta:
        verbose_name_plural = "clean batches"

    def __str__(self) -> str:
        return f"batch of {self.page}"

    @property
    def content(self) -> bytes:
        return decompressed(bytes(self.records))


def compressed(content: bytes) -> bytes:
    """Return the content of a page or batch in the compressed form in which its row stores it."""
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_content_size=True).compress(content)


def decompressed(content: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(content)
