"""The protection by a worker's keys, said at its start; a role that could never work with its keys does not start."""

from airlock.base.errors import ConfigError, Problem
from airlock.base.keyring import CHANNELS_OF, Channel, Keyring

_WITHOUT = {
    Channel.RUN: "every client that reaches Temporal can answer in the name of a worker",
    Channel.REHEARSE: "every client that reaches Temporal can answer mocks and dry runs in the name of a worker",
    Channel.LIVE: "calls are made without a permit, on the word of the worker that orchestrates",
}


def require_usable(keyring: Keyring, role: str) -> None:
    """Refuse keys with which a worker of that role could never accept a call.

    Raises:
        ConfigError: If there is a live key and no run key for a worker that makes live calls.
    """
    if Channel.RUN in CHANNELS_OF[role] and keyring.of(Channel.LIVE) and not keyring.of(Channel.RUN):
        raise ConfigError(
            [
                Problem(
                    where="keys", message="there is a key for channel live and none for channel run",
                    fix="give it the run key that the orchestrating workers have",
                )
            ]
        )  # fmt: skip


def unprotected(keyring: Keyring, role: str) -> tuple[str, ...]:
    """Return what these keys leave unprotected, one sentence each."""
    missing = [channel for channel in CHANNELS_OF[role] if not keyring.of(channel)]
    found = [f"no key for channel {channel.value}: {_WITHOUT[channel]}" for channel in missing]
    if keyring.keys and keyring.demanded is None:
        found.append("the keys have no line `demanded TIME`: proofs are made, and answers without one are believed")
    return tuple(found)


def described(keyring: Keyring) -> str:
    """Return the ids of the keys that sign, for the line a worker prints; secrets are never shown."""
    signing = [f"{channel.value}:{keyring.of(channel)[0].id}" for channel in Channel if keyring.of(channel)]
    return f"keys {', '.join(signing)}" if signing else "no keys"
