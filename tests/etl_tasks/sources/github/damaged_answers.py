"""Damage decoded answers as a faulty server might: parts of them are removed, replaced, given another type, doubled, or moved."""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.fuzzing import ODD_VALUES

Choose = Callable[[Sequence[Any]], Any]  # random.Random.choice, or hypothesis' replacement for it


def damaged(choose: Choose, answer: Any, *, most: int = 3) -> Any:
    """Return a copy of the answer with one to `most` damages. The damages fall on any part, whatever its depth."""
    found = copy.deepcopy(answer)
    for _ in range(choose(range(1, most + 1))):
        found = _damage(choose, found)
    return found


def _damage(choose: Choose, answer: Any) -> Any:
    places = list(parts(answer))
    depth = choose(sorted({len(path) for path in places}))  # first, so that the many leaves do not hide the few parts near the root
    path = choose([path for path in places if len(path) == depth])
    if not path:
        return copy.deepcopy(choose([[answer], *ODD_VALUES]))
    *above, last = path
    holder = at(answer, above)
    match choose(("replace", "replace", "retype", "remove", "double", "move")):
        case "remove":
            del holder[last]
        case "double" if isinstance(holder, list):
            holder.insert(choose(range(len(holder) + 1)), copy.deepcopy(holder[last]))
        case "retype":
            holder[last] = choose(_other_types(holder[last]))
        case "move":
            holder[last] = copy.deepcopy(at(answer, choose(places)))
        case _:
            holder[last] = copy.deepcopy(choose(ODD_VALUES))
    return answer


def _other_types(value: Any) -> list[Any]:
    text = str(value)[:50]
    return [text, [value], {"nodes": [value]}, {"value": value}, None, bool(value), len(text), float(len(text)), text.encode().hex()]


def parts(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every part of a decoded JSON value, beginning with the empty path of the whole."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from parts(item, (*path, key))


def at(value: Any, path: Sequence[Any]) -> Any:
    for key in path:
        value = value[key]
    return value
