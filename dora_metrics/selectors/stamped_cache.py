"""Keep what was computed for each service as long as the rows of the service do not change."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from django.core.cache import caches

SECONDS = 24 * 3600
T = TypeVar("T")


def for_each_service(
    key: str, stamps: Mapping[int, str], compute: Callable[[Sequence[int]], Mapping[int, T]], *, seconds: int = SECONDS
) -> dict[int, T]:
    """Return what `compute` returns for the services, from the cache where it is there and the stamp of the service is still the same.

    `stamps`: `MetricsSummary.stamp` of each service, read before; empty if there is none, then nothing is kept. `compute` is called once, with
    the services that are missing in the cache. `seconds`: for how long the results are kept at most.
    """
    cache = caches["overview"]
    kept: dict[int, tuple[str, T]] = cache.get(key) or {}
    found = {service: kept[service][1] for service, stamp in stamps.items() if stamp and service in kept and kept[service][0] == stamp}
    if missing := [service for service in stamps if service not in found]:
        computed = compute(missing)
        found |= computed
        kept.update({service: (stamps[service], value) for service, value in computed.items() if stamps[service]})
        cache.set(key, kept, seconds)
    return found
