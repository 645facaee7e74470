"""Secrets of the worker, resolved where they are used and redacted from everything that leaves an activity."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airlock.base.errors import SecretError

ENVIRONMENT_PREFIX = "AIRLOCK_SECRET_"
FOLDER_VARIABLE = "AIRLOCK_SECRETS_DIR"
_SHORTEST_REDACTED = 4


class Secrets:
    """The secrets of one activity. It remembers resolved secrets, to redact them from outputs and errors."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment
        self._given: dict[str, str] = {}

    def resolve(self, name: str) -> str:
        """Return the value of a secret: `AIRLOCK_SECRET_<NAME>`, or the file of that name in `AIRLOCK_SECRETS_DIR`.

        Raises:
            SecretError: If this worker has no such secret; the message says where it looked, never a value.
        """
        variable = ENVIRONMENT_PREFIX + "".join(c if c.isalnum() else "_" for c in name).upper()
        value = self._environment.get(variable)
        folder = self._environment.get(FOLDER_VARIABLE)
        if value is None and folder and Path(name).name == name:
            path = Path(folder) / name
            value = path.read_text(encoding="utf-8").rstrip("\n") if path.is_file() else None
        if value is None:
            where = f"{variable} in its environment" + (f" or a file {name} in {FOLDER_VARIABLE}" if folder else "")
            raise SecretError(f"this worker has no secret {name!r}: it needs {where}")
        self._given[name] = value
        return value

    def redact(self, value: Any) -> Any:
        """Return a JSON value with every resolved secret replaced by its name."""
        return _replaced(value, {secret: masked(name) for name, secret in self._long().items()})

    def restore(self, value: Any) -> Any:
        """Return a redacted JSON value with its secrets restored, as far as this activity has resolved them."""
        return _replaced(value, {masked(name): secret for name, secret in self._long().items()})

    def _long(self) -> dict[str, str]:
        # shorter secrets would match inside ordinary words; a secret that contains another one is replaced first
        given = sorted(self._given.items(), key=lambda item: len(item[1]), reverse=True)
        return {name: secret for name, secret in given if len(secret) >= _SHORTEST_REDACTED}


def _replaced(value: Any, texts: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        for old, new in texts.items():
            value = value.replace(old, new)
        return value
    if isinstance(value, Mapping):
        return {_replaced(key, texts): _replaced(child, texts) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(child, texts) for child in value]
    return value


def masked(name: str) -> str:
    """Return the text that people see in place of a secret."""
    return f"(secret {name})"
