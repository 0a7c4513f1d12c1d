"""Make the database fail while a test runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection


@contextmanager
def failing_statements(text: str, error: Exception) -> Iterator[None]:
    """Raise `error` instead of executing an SQL statement that contains `text`."""

    def execute(go_on: Callable[..., Any], sql: str, parameters: Any, is_many: bool, context: dict[str, Any]) -> Any:
        if text in sql:
            raise error
        return go_on(sql, parameters, is_many, context)

    with connection.execute_wrapper(execute):
        yield
