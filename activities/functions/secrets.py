"""Secrets of the worker, resolved where they are used and redacted from everything that leaves an activity."""

import os
from collections.abc import Mapping
from typing import Any

from airlock.activities.functions.redaction import Redactor, redactor
from airlock.base.errors import SecretError
from airlock.tools.secret_source import secret_of


class Secrets:
    """The secrets of one activity. It remembers resolved secrets, to redact them from outputs and errors."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        self._environment = os.environ if environment is None else environment
        self._given: dict[str, str] = {}
        self._others: list[Secrets] = []

    def resolve(self, name: str) -> str:
        """Return the value of a secret: `AIRLOCK_SECRET_<NAME>`, or the file of that name in `AIRLOCK_SECRETS_DIR`.

        Raises:
            SecretError: If this worker has no such secret; the message says where it looked, never a value.
        """
        value = secret_of(name, self._environment)
        self._given[name] = value
        return value

    def has(self, name: str) -> bool:
        """Return True if this worker has a secret of that name."""
        try:
            self.resolve(name)
        except SecretError:
            return False
        return True

    def know(self, other: "Secrets") -> None:
        """Redact from now on what another one resolves too: its user hands it on inside a client.

        That client may resolve it only when it connects, in the middle of this activity.
        """
        if other not in self._others:
            self._others.append(other)

    def redact(self, value: Any) -> Any:
        """Return a JSON value with every part of a resolved secret, in any encoding, replaced by its name."""
        return self._redactor().shown(value)

    def keep(self, value: Any) -> Any:
        """Return a JSON value redacted like `redact`, in a form from which `restore` can restore each part of a secret."""
        return self._redactor().kept(value)

    def restore(self, value: Any) -> Any:
        """Return a redacted JSON value with its secrets restored, as far as this activity has resolved them."""
        return self._redactor().restored(value)

    def _redactor(self) -> Redactor:
        given = dict(self._given)
        for other in self._others:
            given |= other._given
        return redactor(tuple(given.items()))
