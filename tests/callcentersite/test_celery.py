import subprocess
import sys

from django.conf import settings

ASK_A_WORKER = """
from callcentersite.celery import app
app.loader.import_default_modules()  # as a worker does when it starts
print(*sorted(name for name in app.tasks if name.startswith("etl.")))
"""


def test_a_worker_knows_every_task_that_is_sent() -> None:
    """The names are read in a new process, because in the tests' process some other import may have registered the tasks."""
    known = subprocess.run([sys.executable, "-c", ASK_A_WORKER], cwd=settings.BASE_DIR, capture_output=True, text=True, check=True).stdout.split()
    names = ("check", "delete", "extract", "load", "nightly", "preview", "recompute", "replay", "sweep", "transform")
    assert known == [f"etl.{name}" for name in names]
