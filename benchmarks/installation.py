"""An installation for a benchmark, with a database and a broker of its own on the servers of DATABASE_URL and CELERY_BROKER_URL."""

import os
import secrets
import sys
from pathlib import Path
from urllib.parse import SplitResult, urlsplit


def set_up(folder: Path, github_address: str, *, database: str, redis_database: int) -> None:
    """Set the environment and Django up. THE DATABASE IS DELETED AND CREATED AGAIN, and so is the content of the Redis database."""
    server, broker = urlsplit(os.environ.get("DATABASE_URL", "")), urlsplit(os.environ.get("CELERY_BROKER_URL", ""))
    if not server.scheme.startswith("mysql") or not broker.scheme.startswith("redis"):
        sys.exit('bench: scripts/services start mariadb redis; eval "$(scripts/services env)"')
    os.environ |= {
        "CALLCENTERSITE_VAR": str(folder),
        "DATABASE_URL": server._replace(path=f"/{database}").geturl(),
        "CELERY_BROKER_URL": broker._replace(path=f"/{redis_database}").geturl(),
        "CASSANDRA_CONTACT_POINTS": "",
        "DJANGO_SETTINGS_MODULE": "callcentersite.settings",
        "DJANGO_SECRET_KEY": secrets.token_hex(32),
        "GITHUB_API_URL": github_address,
        "GITHUB_GRAPHQL_URL": f"{github_address}/graphql",
        "GITHUB_TOKEN": "of-the-benchmark",
        "LOG_ROOTS": str(folder),
    }
    new_database(server, database)
    import django
    import redis

    django.setup()
    redis.Redis.from_url(os.environ["CELERY_BROKER_URL"]).flushdb()


def new_database(server: SplitResult, name: str) -> None:
    import MySQLdb

    host, port, user, password = server.hostname or "", server.port or 3306, server.username or "", server.password or ""
    connection = MySQLdb.connect(host=host, port=port, user=user, password=password)
    cursor = connection.cursor()
    cursor.execute(f"DROP DATABASE IF EXISTS {name}")
    cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
    connection.close()
