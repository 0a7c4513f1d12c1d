"""The task that replays many dead letters, because a web request would be too short for it."""

import time

from celery import shared_task

from etl_tasks import replay
from etl_tasks.crash_points import crash_points
from etl_tasks.tasks import TURN_S


@shared_task(name="etl.replay", ignore_result=True)
def replay_alike(letter_id: int, by: str, after: int = 0) -> None:
    """Replay the open letters that have the cause of this one. If the time is too short, another message continues after the last one tried."""
    following = replay.replay_alike(letter_id, by=by, after=after, until=time.monotonic() + TURN_S)
    if following is not None:
        with crash_points("replay.continue"):
            replay_alike.delay(letter_id, by, following)
