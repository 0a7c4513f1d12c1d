"""Show a staged page to people: the answer of a source, exactly as it was stored. Secrets in log chunks were masked before that."""

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass

import zstandard

from etl_tasks.models import StagedPage
from etl_tasks.sources.logs.formats.decoding import decoded
from etl_tasks.sources.registry import kinds_with_log_events

MOST_SHOWN_BYTES = 400_000  # of an answer as it came
MOST_INDENTED_BYTES = 2_000_000  # a larger answer is not parsed
PIECE_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class ShownAnswer:
    """The text of an answer as a page shows it.

    `size`: the number of bytes of the whole answer. `is_cut`: the text is only its beginning. `is_json`: it can be shown with
    indentation. `is_intact`: the answer has the digest that was stored with it; None if it is so large that this was not checked.
    """

    text: str
    size: int
    is_cut: bool
    is_json: bool
    is_indented: bool
    is_intact: bool | None


def staged_page(pk: int) -> StagedPage | None:
    """Return the staged page with its run, source and service; None if there is none, for example because it was pruned."""
    return StagedPage.objects.select_related("run__source__service").filter(pk=pk).first()


def has_log_lines(page: StagedPage) -> bool:
    """Return whether the answer has log lines, which contain personal data."""
    return page.run.source.kind in kinds_with_log_events()


def shown_answer(page: StagedPage, *, wants_indented: bool) -> ShownAnswer:
    """Return the answer as text. `wants_indented`: show JSON with indentation; otherwise, and for anything else, as it came."""
    size = content_size(page)
    if size > MOST_INDENTED_BYTES:
        return ShownAnswer(_text(_beginning(page)), size, is_cut=True, is_json=False, is_indented=False, is_intact=None)
    content = page.content
    indented = _indented(content)
    is_indented = wants_indented and indented is not None
    text = indented if is_indented and indented is not None else _text(content[:MOST_SHOWN_BYTES])
    is_intact = hashlib.sha256(content).hexdigest() == page.sha256
    is_cut = len(text) > MOST_SHOWN_BYTES if is_indented else size > MOST_SHOWN_BYTES
    return ShownAnswer(text[:MOST_SHOWN_BYTES], size, is_cut, is_json=indented is not None, is_indented=is_indented, is_intact=is_intact)


def content_size(page: StagedPage) -> int:
    """Return the number of bytes of the answer. It is in the header of the compressed body."""
    return zstandard.frame_content_size(bytes(page.body))


def pieces(page: StagedPage) -> Iterator[bytes]:
    """Yield the answer exactly as it was stored, piece by piece, so that it is never in memory as a whole."""
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(bytes(page.body))) as reader:
        while piece := reader.read(PIECE_BYTES):
            yield piece


def _beginning(page: StagedPage) -> bytes:
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(bytes(page.body))) as reader:
        return reader.read(MOST_SHOWN_BYTES)


def _text(content: bytes) -> str:
    """Return the content as text. Bytes that are not UTF-8 become escapes such as \\xff."""
    return decoded(content)


def _indented(content: bytes) -> str | None:
    """Return JSON with indentation; None for anything else."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return json.dumps(found, indent=2, ensure_ascii=False) if isinstance(found, (dict, list)) else None
