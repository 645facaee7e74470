"""The state of a corpus API as plain JSON, and its digest."""

import hashlib
import json
import math
from datetime import date, datetime, time
from typing import Any

# Not state: back references, clocks, prose, and the generator (which is restored, but not compared).
NOT_STATE = frozenset({"parent", "_random", "_last_modified", "_api_description"})


def plain(value: Any) -> Any:
    """Return the value as JSON, the same for equal states; instances become objects of their attributes.

    An instance met a second time becomes `{"same_as": <path of the first>}`, so cycles end and it shows which
    directory is the current one. Sets are sorted. What JSON has no word for becomes a text.
    """
    return _Walk().visit(value, "$")


def digest_of(state: Any) -> str:
    """SHA-256, in hex, of the canonical JSON (sorted keys, no spaces, ASCII) of what `plain` returned."""
    canonical = json.dumps(state, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


class _Walk:
    """One walk; remembers where it met each instance and which containers it is inside of."""

    def __init__(self) -> None:
        self._met: dict[int, str] = {}

    def visit(self, value: Any, path: str) -> Any:
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else str(value)
        if isinstance(value, datetime | date | time):
            return value.isoformat()
        if isinstance(value, dict | list | tuple | set | frozenset):
            return self._container(value, path)
        if hasattr(value, "__float__"):  # mpmath and decimal numbers
            return self.visit(float(value), path)
        if hasattr(value, "__dict__"):
            return self._instance(value, path)
        return str(value)

    def _container(self, value: Any, path: str) -> Any:
        if id(value) in self._met:
            return {"same_as": self._met[id(value)]}
        self._met[id(value)] = path
        if isinstance(value, dict):
            result: Any = self._object(value, path)
        elif isinstance(value, set | frozenset):
            items = [self.visit(item, f"{path}[]") for item in value]
            result = sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
        else:
            result = [self.visit(item, f"{path}[{n}]") for n, item in enumerate(value)]
        del self._met[id(value)]  # equal values that are shared look like equal values that are not
        return result

    def _object(self, value: dict[Any, Any], path: str) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, item in value.items():
            name = key if isinstance(key, str) else str(key)
            if name in result or (name != key and name in value):
                name = f"{type(key).__name__}:{key!r}"  # 1 and "1" are two keys
            result[name] = self.visit(item, f"{path}.{name}")
        return result

    def _instance(self, value: Any, path: str) -> dict[str, Any]:
        if id(value) in self._met:
            return {"same_as": self._met[id(value)]}
        self._met[id(value)] = path
        names = sorted(set(vars(value)) - NOT_STATE, key=lambda name: (name.startswith("_"), name))
        return {name: self.visit(vars(value)[name], f"{path}.{name}") for name in names}
