"""The workers' keys: what proves that one of Airlock's workers made a message, by channel, with ids and rotation."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property

from airlock.base.errors import AirlockError

FORMAT = "airlock-keys/1"
"""The first line of every file of keys."""
SECRET_BYTES = 32
_ID_LABEL = b"airlock key id\0"
_ID_CHARACTERS = 12


class KeyringError(AirlockError):
    """Keys that cannot be used. The text names the line, never a secret."""


class Channel(StrEnum):
    """The subject that a key vouches for."""

    RUN = "run"
    """Questions and answers of plans, gates, claims and monitors, except those under `REHEARSE`."""
    REHEARSE = "rehearse"
    """Mocks, dry runs and looks at undos: the worker that carries them out can vouch for nothing else."""
    LIVE = "live"
    """Permits and receipts of live calls: a worker that only orchestrates cannot make them."""


CHANNELS_OF: Mapping[str, tuple[Channel, ...]] = {
    "all": (Channel.RUN, Channel.REHEARSE, Channel.LIVE),
    "orchestrate": (Channel.RUN, Channel.REHEARSE),
    "rehearse": (Channel.REHEARSE,),
    "live": (Channel.RUN, Channel.LIVE),
}
"""The channels whose keys a worker of each role holds."""


@dataclass(frozen=True)
class Key:
    """One secret of one channel."""

    channel: Channel
    secret: bytes = field(repr=False)
    signs_since: datetime | None = None
    """The moment from which this key signs, UTC, where the file says so."""

    @cached_property
    def id(self) -> str:
        """The first 12 hexadecimal digits of a hash of channel and secret.

        It depends on nothing but the secret, so that a proof with the id of a key that is made later cannot exist.
        """
        text = _ID_LABEL + self.channel.value.encode() + b"\0" + self.secret
        return hashlib.sha256(text).hexdigest()[:_ID_CHARACTERS]

    def mac(self, text: bytes) -> bytes:
        """Return the message authentication code of a text under this key."""
        return hmac.new(self.secret, text, hashlib.sha256).digest()


@dataclass(frozen=True)
class Demands:
    """The demands on a message, without the secrets: for code that judges what others have checked."""

    channels: frozenset[Channel] = frozenset()
    """The channels this process has keys for."""
    since: datetime | None = None
    """The moment from which questions need a proven answer, UTC; None demands none."""
    revoked: tuple[tuple[str, datetime], ...] = ()
    """Key ids, and the moment after which what they prove counts as unproven."""

    def due(self, channel: Channel, asked_at: datetime) -> bool:
        """Return whether the answer to a question of that moment needs a proof."""
        return channel in self.channels and self.since is not None and asked_at >= self.since

    def revokes(self, key_id: str, at: datetime) -> bool:
        """Return whether a proof by that key does not count for what was asked at that moment."""
        return any(revoked == key_id and at > since for revoked, since in self.revoked)


@dataclass(frozen=True)
class Keyring:
    """The keys of one worker. The first key of each channel signs; all of them verify."""

    keys: tuple[Key, ...] = ()
    demanded: datetime | None = None
    """The moment from which proofs are demanded, UTC. Without it they are made and not demanded."""
    revoked: tuple[tuple[str, datetime], ...] = ()

    def of(self, channel: Channel) -> tuple[Key, ...]:
        """Return the keys of a channel, the signing one first."""
        return tuple(key for key in self.keys if key.channel is channel)

    @cached_property
    def demands(self) -> Demands:
        """The same without secrets."""
        return Demands(frozenset(key.channel for key in self.keys), self.demanded, self.revoked)

    def sign(self, channel: Channel, text: bytes) -> str | None:
        """Return the proof of a text, `<key id>.<base64>`; None without a key for that channel."""
        keys = self.of(channel)
        return f"{keys[0].id}.{base64.b64encode(keys[0].mac(text)).decode()}" if keys else None

    def check(self, channel: Channel, text: bytes, proof: str) -> str:
        """Return `""` where the proof fits the text, else the reason why it does not count."""
        key_id, _, given = proof.partition(".")
        key = next((key for key in self.of(channel) if key.id == key_id), None)
        if key is None:
            return f"no key {key_id[:_ID_CHARACTERS]!r} for channel {channel.value}"
        expected = base64.b64encode(key.mac(text))
        return "" if hmac.compare_digest(expected, given.encode("utf-8", "replace")) else "the proof does not fit"


def parse_keyring(text: str) -> Keyring:
    """Read the text of a file of keys.

    Raises:
        KeyringError: If a line cannot be understood; the text names its number and the fix.
    """
    lines = [(number, line.partition("#")[0].split()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, words) for number, words in lines if words]
    if not lines or lines[0][1] != [FORMAT]:
        raise KeyringError(f"the first line must be {FORMAT}")
    keys: list[Key] = []
    revoked: list[tuple[str, datetime]] = []
    demanded: datetime | None = None
    for number, (word, *rest) in lines[1:]:
        match word, rest:
            case (("run" | "rehearse" | "live"), [secret, *since]) if len(since) <= 1:
                keys.append(Key(Channel(word), _secret(secret, number), _time(since[0], number) if since else None))
            case "demanded", [time] if demanded is None:
                demanded = _time(time, number)
            case "revoked", [key_id, time]:
                revoked.append((key_id, _time(time, number)))
            case _:
                raise KeyringError(
                    f"line {number} cannot be understood: write `run|rehearse|live SECRET [TIME]`, one `demanded TIME`, "
                    "or `revoked KEY_ID TIME`"
                )
    if len({key.id for key in keys}) != len(keys):
        raise KeyringError("one secret stands there twice for the same channel: leave it once")
    if not keys:
        raise KeyringError("it holds no key: make a new file with `airlock keys new`")
    return Keyring(tuple(keys), demanded, tuple(revoked))


def key_line(channel: Channel, secret: bytes, signs_since: datetime) -> str:
    """Return one key as its line in a file."""
    return f"{channel.value:<8} {base64.urlsafe_b64encode(secret).decode().rstrip('=')} {_written(signs_since)}"


def keyring_text(secrets: Mapping[Channel, bytes], made_at: datetime, demanded: datetime | None) -> str:
    """Return the text of a new file of keys."""
    lines = [FORMAT, *(key_line(channel, secret, made_at) for channel, secret in secrets.items())]
    if demanded is not None:
        lines.append(f"demanded {_written(demanded)}")
    return "\n".join(lines) + "\n"


def _written(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _secret(text: str, number: int) -> bytes:
    try:
        secret = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) != SECRET_BYTES:
        raise KeyringError(f"line {number}: a secret is {SECRET_BYTES} bytes in base64url: make one with `airlock keys new`")
    return secret


def _time(text: str, number: int) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise KeyringError(f"line {number}: write the time like 2028-12-01T12:00:00Z")
    return at.astimezone(UTC)
