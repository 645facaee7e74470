"""Secrets: resolved where they are used, from the worker's environment or its secrets folder, and never let out."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airlock.errors import SecretError

ENVIRONMENT_PREFIX = "AIRLOCK_SECRET_"
FOLDER_VARIABLE = "AIRLOCK_SECRETS_DIR"
_SHORTEST_REDACTED = 4


class Secrets:
    """The secrets of one activity; remembers what it gave out, so that it can be taken out of what leaves."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment
        self._given: dict[str, str] = {}

    def resolve(self, name: str) -> str:
        """The value of a secret: `AIRLOCK_SECRET_<NAME>`, or the file of that name in `AIRLOCK_SECRETS_DIR`.

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
        """A JSON value with every secret that was given out replaced by its name."""
        if isinstance(value, str):
            for name, secret in self._given.items():
                if len(secret) >= _SHORTEST_REDACTED:
                    value = value.replace(secret, masked(name))
            return value
        if isinstance(value, Mapping):
            return {self.redact(key): self.redact(child) for key, child in value.items()}
        if isinstance(value, list | tuple):
            return [self.redact(child) for child in value]
        return value


def masked(name: str) -> str:
    """What stands for a secret wherever a person looks."""
    return f"(secret {name})"
