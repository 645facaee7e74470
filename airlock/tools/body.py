"""The body of an answer, decoded in pieces of a bounded size.

The HTTP library decodes each piece that arrives as a whole: 64 KB of the network can be gigabytes of memory, and there are
encodings besides these two where any package brings their decoders along. So the others are not asked for, and not read.
"""

import zlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import httpx

ENCODINGS: Final = "gzip, deflate"
"""The encodings that are asked for."""
_RAW: Final = 16_384
"""Bytes of the network that are looked at at once."""
_PIECE: Final = 65_536
"""Bytes that these are decoded to at once."""


async def decoded(response: "httpx.Response") -> AsyncIterator[bytes]:
    """Yield the decoded body of an answer, piece by piece.

    Raises:
        httpx.DecodingError: If it has another encoding than its headers say, or one that is not read here.
    """
    import httpx

    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        async for raw in response.aiter_raw(_RAW):
            yield raw
        return
    if encoding not in _WAYS:
        raise httpx.DecodingError("it has an encoding that was not asked for")
    packed = _Packed(*_WAYS[encoding])
    try:
        async for raw in response.aiter_raw(_RAW):
            for piece in packed.pieces(raw):
                yield piece
        yield packed.rest()
    except zlib.error as error:
        raise httpx.DecodingError(str(error)) from error


class _Packed:
    """A packed body.

    Args:
        bits: How it is packed, as zlib says it.
        otherwise: How some servers pack it all the same.
    """

    def __init__(self, bits: int, otherwise: int | None = None) -> None:
        self._unpacker = zlib.decompressobj(bits)
        self._otherwise = otherwise

    def pieces(self, raw: bytes) -> Iterator[bytes]:
        """Yield what more of the body holds."""
        while raw:
            try:
                piece = self._unpacker.decompress(raw, _PIECE)
            except zlib.error:
                if self._otherwise is None:
                    raise
                self._unpacker, self._otherwise = zlib.decompressobj(self._otherwise), None
                continue
            self._otherwise = None
            yield piece
            raw = self._unpacker.unconsumed_tail

    def rest(self) -> bytes:
        """Return what is left at the end: a few bytes that did not fit into the last piece."""
        return self._unpacker.flush()


_WAYS: Final[dict[str, tuple[int] | tuple[int, int]]] = {
    "gzip": (zlib.MAX_WBITS | 16,),
    "x-gzip": (zlib.MAX_WBITS | 16,),
    "deflate": (zlib.MAX_WBITS, -zlib.MAX_WBITS),
}
