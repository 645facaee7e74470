"""Large payloads travel compressed, so that plans of thousands of steps fit Temporal's 2 MiB."""

import zlib
from collections.abc import Sequence

from temporalio.api.common.v1 import Payload
from temporalio.converter import PayloadCodec

COMPRESS_FROM = 65_536
"""Payloads below this many bytes stay readable for the Temporal CLI and UI."""
MAX_DECOMPRESSED = 24 * 1024 * 1024
"""A payload that would grow beyond this is refused, so that a crafted one cannot exhaust a worker."""
_ENCODING = b"binary/airlock-zlib"


class CompressionCodec(PayloadCodec):
    """Compresses payloads of `COMPRESS_FROM` bytes or more; leaves all others as they are."""

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Compress what is large."""
        return [_encode(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Restore what was compressed; anything else, junk included, is passed on for its receiver to judge."""
        return [_decode(payload) for payload in payloads]


def _encode(payload: Payload) -> Payload:
    if payload.ByteSize() < COMPRESS_FROM:
        return payload
    return Payload(metadata={"encoding": _ENCODING}, data=zlib.compress(payload.SerializeToString(), level=6))


def _decode(payload: Payload) -> Payload:
    if payload.metadata.get("encoding") != _ENCODING:
        return payload
    try:
        inflater = zlib.decompressobj()
        data = inflater.decompress(payload.data, MAX_DECOMPRESSED)
        if inflater.unconsumed_tail:
            return undecodable("it is too large")
        return Payload.FromString(data)
    except Exception as error:  # noqa: BLE001  # a codec that raises lets any sender wedge a run
        return undecodable(type(error).__name__)


def undecodable(why: str) -> Payload:
    """Make the payload that stands for one that must not, or cannot, be decoded."""
    # not JSON on purpose: a signal handler records it, and a result that is damaged fails loudly instead of passing as data
    return Payload(metadata={"encoding": b"binary/airlock-undecodable"}, data=why.encode())
