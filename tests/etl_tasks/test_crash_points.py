"""Everything that takes effect at once has a crash point before and after it. test_crashes.py kills a worker at each."""

import ast
from collections import Counter
from pathlib import Path

import pytest
from django.conf import settings

from tests.etl_tasks.commits_in_code import names_and_gaps

pytestmark = pytest.mark.xdist_group("crash points")  # a group of many tests begins first, and test_crashes.py takes long
FOLDER = Path(settings.BASE_DIR) / "etl_tasks"
MODULES = [
    *(
        "stages",
        "ledger",
        "dead_letters",
        "replay",
        "sweeper",
        "pipeline",
        "tasks",
        "beat_tasks",
        "replay_tasks",
        "inline",
        "settled_runs",
        "settled_tasks",
    ),
    *(f"loaders.{path.stem}" for path in sorted((FOLDER / "loaders").glob("[a-z]*.py"))),
]
SOURCES = {f"etl_tasks.{name}": (FOLDER / f"{name.replace('.', '/')}.py").read_text() for name in MODULES}
# These send a message to ask a worker something, and wait for the answer. Nothing is stored.
ONLY_ASK = ("check_sources", "preview_logs")
CALLERS = {
    ".".join(path.relative_to(settings.BASE_DIR).with_suffix("").parts): path.read_text()
    for package in ("etl_tasks", "dashboard", "callcentersite", "demo")
    for path in (Path(settings.BASE_DIR) / package).rglob("*.py")
}
CALLER_TREES = {module: ast.parse(text) for module, text in CALLERS.items() if module not in SOURCES and "etl_tasks" in text}
USED = {"sources": SOURCES, "callers": CALLER_TREES, "only_ask": ONLY_ASK}
NAMES, GAPS = names_and_gaps(**USED)
POINTS = [f"{name}.{place}" for name in NAMES for place in ("before", "after")]


def test_every_commit_write_and_message_has_crash_points() -> None:
    assert GAPS == []


def test_each_name_is_used_once() -> None:
    assert [name for name, count in Counter(NAMES).items() if count > 1] == []
    assert len(NAMES) >= 30


@pytest.mark.parametrize(
    ("former", "present", "function", "effect"),
    [
        ('with commit("ledger.claim"):', "with transaction.atomic():", "etl_tasks.ledger.claim", "atomic"),
        ("def cancel(", "@transaction.atomic\ndef cancel(", "etl_tasks.ledger.cancel", "atomic"),
        ('with crash_points("ledger.postpone"):', "if True:", "etl_tasks.ledger.postpone", "update"),
        ('with crash_points("sweeper.resend"):', "if True:", "etl_tasks.sweeper._resend", "update"),
        ('with crash_points("pipeline.send"):', "if True:", "etl_tasks.pipeline.send", "apply_async"),
        ("partial(_send_recompute, service.pk)", "partial(tasks.recompute.delay, service.pk)", "etl_tasks.pipeline.send_recompute", "delay"),
        ('with ledger.guarded_transaction(run, "extract.page", ', "with contextmanager(", "etl_tasks.stages._commit_pages", "create"),
        ('with ledger.guarded_transaction(run, "transform.page", ', "with contextmanager(", "etl_tasks.stages.transform", "create"),
        ('crash_point("load.log_store.before")', "pass", "etl_tasks.stages._write_to_log_store", "write_each"),
        ('with crash_points("replay.log_store"):', "if True:", "etl_tasks.replay._replay_records", "write"),
    ],
)
def test_a_gap_is_found(former: str, present: str, function: str, effect: str) -> None:
    changed = {module: text.replace(former, present) for module, text in SOURCES.items()}
    assert changed != SOURCES
    _, gaps = names_and_gaps(**{**USED, "sources": changed})
    assert any(line.startswith(f"{function}: ") and effect in line for line in gaps), gaps
