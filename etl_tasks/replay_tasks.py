"""The task that replays many dead letters, because a web request would be too short for it."""

import time

from celery import shared_task
from django.conf import settings

from etl_tasks import replay
from etl_tasks.crash_points import crash_points

TURN_S = settings.CELERY_TASK_SOFT_TIME_LIMIT / 2  # after it another message goes on, so that the worker never stops the task


@shared_task(name="etl.replay", ignore_result=True)
def replay_alike(letter_id: int, by: str, after: int = 0) -> None:
    """Replay the open letters that have the cause of this one. If the time is too short, another message continues after the last one tried."""
    following = replay.replay_alike(letter_id, by=by, after=after, until=time.monotonic() + TURN_S)
    if following is not None:
        with crash_points("replay.continue"):
            replay_alike.delay(letter_id, by, following)
