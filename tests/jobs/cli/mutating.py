"""JSON with one thing wrong in it."""

import json
import random
from collections.abc import Callable
from typing import Any


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where in a JSON value something stands."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [place for key, one in inner for place in leaves(one, (*path, key))]


STRANGE: list[Any] = [
    *(None, True, -1, 0, 1, 2, 3, 1e308, 10**30, "", "x", "../../x", "\0", [], {}, [[]], {"x": 1}),
    *("2030-01-07T08:00:00", "0001-01-01T00:00:00Z", "done", "failed", ["a", "b", -1], float("nan")),
]


def mutate(data: bytes, rng: random.Random) -> bytes:
    """`data`, JSON, with one thing wrong in it."""

    def replace(value: Any, place: tuple[Any, ...], new: Any) -> None:
        for key in place[:-1]:
            value = value[key]
        value[place[-1]] = new

    def strange() -> bytes:
        value = json.loads(data)
        replace(value, rng.choice(leaves(value)), rng.choice(STRANGE))
        return json.dumps(value).encode()

    def missing() -> bytes:
        value = json.loads(data)
        *above, last = rng.choice(leaves(value))
        parent = value
        for key in above:
            parent = parent[key]
        del parent[last]
        return json.dumps(value).encode()

    def flipped() -> bytes:
        unreadable = bytearray(data)
        unreadable[rng.randrange(len(unreadable))] = rng.randrange(256)
        return bytes(unreadable)

    ways: list[Callable[[], bytes]] = [
        strange,
        strange,
        strange,
        missing,
        flipped,
        lambda: data[: rng.randrange(len(data))],
        lambda: data + rng.randbytes(3),
    ]
    return rng.choice(ways)()
