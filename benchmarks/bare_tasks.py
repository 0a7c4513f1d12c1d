"""Tasks that do nothing. The benchmark of a night compares idle sources with chains of three of them, in the same worker and result backend."""

from celery import chain

from callcentersite.celery import app

QUEUES = ("extract", "transform", "load")


@app.task(name="bench.bare")
def bare(number: int) -> int:
    return number


@app.task(name="bench.send_bare_chains", queue="sweep")
def send_bare_chains(count: int) -> int:
    first, *others = QUEUES
    for number in range(1, count + 1):
        chain(bare.s(number), *[bare.s().set(queue=queue) for queue in others]).apply_async(queue=first)
    return count
