"""The task that replays many dead letters, because a web request would be too short for it."""

import time

from celery import shared_task
from django.conf import settings

from etl_tasks import replay


@shared_task(name="etl.replay", ignore_result=True)
def replay_alike(letter_id: int, by: str, after: int = 0) -> None:
    """Replay the open letters that have the cause of this one. If the time is too short, another message continues after the last one tried."""
    following = replay.replay_alike(letter_id, by=by, after=after, until=time.monotonic() + settings.CELERY_TASK_SOFT_TIME_LIMIT / 2)
    if following is not None:
        replay_alike.delay(letter_id, by, following)
