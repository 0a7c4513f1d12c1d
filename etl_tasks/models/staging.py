"""Staged copies of what a source answered, and the validated records made from them."""

import zstandard
from django.db import models

from etl_tasks.models.run import ETLRun

ZSTD_LEVEL = 1


class StagedPage(models.Model):
    """One answer of a source exactly as it came, compressed: a row a page or chunk, not a row a record."""

    run = models.ForeignKey(ETLRun, on_delete=models.CASCADE, related_name="pages")
    number = models.PositiveIntegerField()
    stream = models.CharField(max_length=200)
    url = models.TextField()
    context = models.JSONField(default=dict, help_text="what reading it needs beside the body, such as a chunk's file and offset")
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
    """The validated records of one page, with a mark for each destination they have reached."""

    page = models.OneToOneField(StagedPage, on_delete=models.CASCADE, related_name="batch")
    kind = models.CharField(max_length=30, help_text="which fact the records are")
    records = models.BinaryField(help_text="compressed JSON, one list")
    record_count = models.PositiveIntegerField()
    dead_lettered = models.PositiveIntegerField(default=0)
    unparsed = models.PositiveIntegerField(default=0)
    is_loaded = models.BooleanField(default=False, help_text="in the SQL database")
    is_stored = models.BooleanField(default=False, help_text="in the log store")

    def __str__(self) -> str:
        return f"batch of {self.page}"

    @property
    def content(self) -> bytes:
        return decompressed(bytes(self.records))


def compressed(content: bytes) -> bytes:
    """Compress the content of a page or batch for its row."""
    return zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_content_size=True).compress(content)


def decompressed(content: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(content)
