"""Run a first night and, after a day with news, an ordinary night in this process, and print the CPU seconds of each part as JSON."""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from typing import Any

import django

from benchmarks.night_github import GitHub


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--github", required=True)
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--next", type=datetime.fromisoformat, required=True, help="the clock after the day with news")
    options = parser.parse_args()
    django.setup()
    from benchmarks.night_product import move_nights_back

    first = night()
    move_nights_back()
    GitHub(options.github, options.pid).move_clock(options.next)
    print(json.dumps({"first": first, "ordinary": night()}))


def night() -> dict[str, float]:
    from callcentersite.celery import tune_garbage_collection
    from etl_tasks import ledger, stages
    from etl_tasks.loaders import metrics
    from etl_tasks.models import Source
    from etl_tasks.sources.registry import survey

    tune_garbage_collection()  # as in a child of a worker
    spent: Counter[str] = Counter()

    def timed(part: str, function: Callable[..., Any], *, within: str = "") -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            began = time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                seconds = time.process_time() - began
                spent[part] += seconds
                if within:
                    spent[within] -= seconds

        return call

    recompute, evaluate = metrics.recompute, metrics.rules.evaluate
    metrics.recompute, metrics.rules.evaluate = timed("metrics", recompute, within="load"), timed("metrics", evaluate, within="load")
    sources = list(Source.objects.select_related("service"))
    news = timed("survey", survey)("github", sources)
    for source in sources:
        run = ledger.open_run(source, trigger="beat", options={"news": news[source.pk]} if source.pk in news else {})
        assert run
        for stage in ledger.STAGES:
            timed(stage, getattr(stages, stage))(ledger.claim(run.pk, stage, "bench"))
    metrics.recompute, metrics.rules.evaluate = recompute, evaluate
    return {part: spent[part] for part in ("survey", *ledger.STAGES, "metrics")}


if __name__ == "__main__":
    main()
