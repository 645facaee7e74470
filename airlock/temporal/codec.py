"""Compression of large payloads, so that plans of thousands of steps fit Temporal's limit of 2 MiB."""

import zlib
from collections.abc import Sequence

from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

COMPRESS_FROM = 65_536
"""Size in bytes from which a payload is compressed; smaller ones stay readable in the Temporal CLI and UI."""
MAX_DECOMPRESSED = 24 * 1024 * 1024
"""Size in bytes that a decompressed payload may have; a crafted payload cannot exhaust a worker."""
_ENCODING = b"binary/airlock-zlib"
_UNDECODABLE = b"binary/airlock-undecodable"
NO_REASON = "it cannot be decoded"
"""The reason where no better one is known, or the sender claims one of its own."""
PREFIX = "airlock-"
"""The beginning of the names of all metadata that proves something."""


class CompressionCodec(PayloadCodec):
    """Codec that compresses payloads of `COMPRESS_FROM` bytes or more, and passes all others through."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Compress the large payloads."""
        return [_encode(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decompress the payloads that `encode` compressed; pass all others on for the receiver to validate."""
        return [_decode(payload) for payload in payloads]


def _encode(payload: Payload) -> Payload:
    if payload.ByteSize() < COMPRESS_FROM:
        return payload
    return Payload(metadata={"encoding": _ENCODING}, data=zlib.compress(payload.SerializeToString(), level=6))


def _decode(payload: Payload) -> Payload:
    return inflated(payload) or undecodable("it is too large")


def is_compressed(payload: Payload) -> bool:
    """Return True if the codec compressed a payload, or its sender says so."""
    return bool(payload.metadata.get("encoding") == _ENCODING)


def inflated(payload: Payload, limit: int = MAX_DECOMPRESSED) -> Payload | None:
    """Return a payload as it was before it was compressed; None if it has more bytes than the limit."""
    if not is_compressed(payload):
        return payload
    try:
        inflater = zlib.decompressobj()
        data = inflater.decompress(payload.data, limit)
        if inflater.unconsumed_tail:
            return None
        made = Payload.FromString(data)
        return undecodable(NO_REASON) if why_undecodable(made) else made
    except Exception as error:  # noqa: BLE001  # a codec that raises lets any sender wedge a run
        return undecodable(f"{NO_REASON}: {type(error).__name__}")


def folded(payload: Payload, inner: Payload) -> Payload:
    """Return a compressed payload that says of itself what its content proves, and nothing else."""
    made = Payload(metadata={"encoding": _ENCODING}, data=payload.data)
    _take(made, inner)
    return made


def unfolded(payload: Payload) -> Payload:
    """Return the content of a payload that `folded` made, with what that one says of itself; any other as it is."""
    if not is_compressed(payload):
        return payload
    inner = _decode(payload)
    for name in [name for name in inner.metadata if name.startswith(PREFIX)]:
        del inner.metadata[name]
    _take(inner, payload)
    return inner


def _take(payload: Payload, other: Payload) -> None:
    for name, value in other.metadata.items():
        if name.startswith(PREFIX):
            payload.metadata[name] = value


def undecodable(why: str) -> Payload:
    """Make the payload that stands for one that must not, or cannot, be decoded."""
    # not JSON on purpose: a signal handler records it, and a result that is damaged fails loudly instead of passing as data
    return Payload(metadata={"encoding": _UNDECODABLE}, data=why.encode())


def why_undecodable(payload: Payload) -> str:
    """Return the reason in a payload that `undecodable` made; empty for any other."""
    if payload.metadata.get("encoding") != _UNDECODABLE:
        return ""
    return payload.data.decode("utf-8", "replace") or NO_REASON
