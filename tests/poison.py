"""Values that a plan, a tool or a message may hold, and that break programs which trust them."""

import json
import math
from collections.abc import Callable
from typing import Any


def nested(levels: int, leaf: Any = None, key: str | None = None) -> Any:
    """Return lists, or objects with one key, inside one another."""
    value = leaf
    for _ in range(levels):
        value = [value] if key is None else {key: value}
    return value


def laughs(levels: int) -> Any:
    """Return a list of 2**levels texts in a few bytes of memory, as YAML's aliases make it."""
    value: Any = "ha"
    for _ in range(levels):
        value = [value, value]
    return value


def circle() -> Any:
    """Return a list that holds itself twice."""
    value: list[Any] = []
    value += [value, value]
    return value


JSON: dict[str, Callable[[], Any]] = {
    "99 lists": lambda: nested(99),
    "150 lists": lambda: nested(150),
    "199 lists": lambda: nested(199),
    "220 lists": lambda: nested(220),
    "150 objects": lambda: nested(150, key="a"),
    "5,000 lists": lambda: nested(5_000),
    "100,000 lists side by side": lambda: [[] for _ in range(100_000)],
    "5,000 objects": lambda: [{"a": n} for n in range(5_000)],
    "a key of 1 MB": lambda: {"k" * 1_000_000: 1},
    "a text of 2 MB": lambda: "x" * 2_000_000,
    "a text of 60 KB": lambda: "x" * 60_000,
    "line ends": lambda: "\n\r\u2028\0" * 1_000,
    "an empty key": lambda: {"": {"": ""}},
    "4,000 digits": lambda: 10**4_000,
    "an integer beyond 64 bits": lambda: -(2**64),
    "a tiny number": lambda: 5e-324,
    "an odd path": lambda: {"$ref": "one" + "[0]" * 150},
    "a long path": lambda: {"$ref": "one." + "a" * 1_000_000},
    "an expression": lambda: {"$ref": "one." + "[@,@]." * 40 + "a"},
    "a reference in a reference": lambda: {"$ref": {"$ref": "one"}},
    "a secret with a path": lambda: {"$secret": "../" * 100_000},
    "the placeholder": lambda: "(known after live)",
}
"""Values that JSON can write."""
OTHER: dict[str, Callable[[], Any]] = {
    "5,000 digits": lambda: 10**5_000,
    "NaN": lambda: math.nan,
    "Infinity": lambda: [-math.inf],
    "half a surrogate pair": lambda: "\ud800",
    "half a surrogate pair as a key": lambda: {"\udfff": 1},
    "2**60 texts": lambda: laughs(60),
    "a circle": circle,
    "a range": lambda: range(10**12),
    "bytes": lambda: b"\xff\0",
    "a set": lambda: {1, 2},
    "an object": object,
    "numbers as keys": lambda: {1: 2, None: 3},
    "a type": lambda: dict,
}
"""Values that only Python code can hand on, such as a tool or a caller of the client."""
PYTHON = JSON | OTHER
RAW: dict[str, bytes] = {
    "100,000 lists": b"[" * 100_000 + b"]" * 100_000,
    "open lists": b"[" * 200_000,
    "5,000 digits": b"9" * 5_000,
    "a number beyond floats": b"1e999",
    "NaN": b"NaN",
    "half a surrogate pair": b'"\\ud800"',
    "not UTF-8": b'"\xff\xfe"',
    "a key twice": b'{"by": "alice", "by": "mallory"}',
    "100,000 keys": json.dumps({f"k{n}": n for n in range(40_000)}).encode(),
    "a text of 3 MB": b'"' + b"x" * 400_000 + b'"',
    "nothing": b"",
    **{name: json.dumps(make()).encode() for name, make in JSON.items() if name != "5,000 lists"},
}
"""Bytes that claim to be JSON; the server takes payloads of up to 2 MiB."""
