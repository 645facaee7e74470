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
