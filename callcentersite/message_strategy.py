"""What a worker does with a message before it becomes a task."""

from collections.abc import Callable
from typing import Any

from celery.exceptions import InvalidTaskError
from celery.worker.strategy import default


def careful(task: Any, app: Any, consumer: Any, **options: Any) -> Callable[..., Any]:
    """Do what Celery does. If a message makes no sense to it, raise InvalidTaskError, so that Celery logs the message and drops it.

    Celery's own strategy raises other errors for an empty body, for example. They end the worker, and the next one gets the message again.
    """
    handle = default(task, app, consumer, **options)

    def handle_or_refuse(*arguments: Any, **named: Any) -> Any:
        try:
            return handle(*arguments, **named)
        except (TypeError, ValueError, LookupError, AttributeError) as exc:
            raise InvalidTaskError(f"the message makes no sense: {exc!r}") from exc

    return handle_or_refuse
