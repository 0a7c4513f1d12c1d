"""Set the environment of the tests. This is a plugin, because Django's settings are read before any conftest.py.

Each test process has its own folder, Redis database and Cassandra keyspace, so that processes do not affect each other.
"""

import os
import tempfile
from pathlib import Path

number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
os.environ["CALLCENTERSITE_VAR"] = tempfile.mkdtemp(prefix="ccs-")
os.environ["LOG_ROOTS"] = f"/var/log,{tempfile.gettempdir()},{Path(__file__).resolve().parent.parent}"
os.environ.setdefault("DJANGO_SECRET_KEY", "only-for-tests")
os.environ.setdefault("GITHUB_TOKEN", "token-of-the-stand-in")
os.environ["CASSANDRA_KEYSPACE"] = f"test_{number}_{os.getpid()}"
if broker := os.environ.get("CELERY_BROKER_URL"):
    os.environ["CELERY_BROKER_URL"] = f"{broker.rpartition('/')[0]}/{number + 1}"
for name, value in {
    "ETL_BACKOFF_SECONDS": 0,
    "ETL_BACKOFF_MAX_SECONDS": 0,
    "ETL_STAGE_BACKOFF_SECONDS": 1,
    "ETL_STAGE_BACKOFF_MAX_SECONDS": 1,
    "ETL_STAGE_RETRIES": 3,
    "ETL_LEASE_SECONDS": 4,
    "ETL_GRACE_SECONDS": 3,
    "ETL_SWEEP_SECONDS": 1,
}.items():
    os.environ[name] = str(value)
