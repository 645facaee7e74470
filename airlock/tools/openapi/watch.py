"""The document of a service, read again while a worker runs: what was approved holds for the document of that time only."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path

from airlock.base.errors import AirlockError, ContractError, ToolFailed
from airlock.tools.rated.definitions import Definitions

MAX_DOCUMENT_BYTES = 20_000_000
LOOK_AGAIN = 60.0
"""Seconds after which a document that is a URL is fetched again. A file is looked at before each call."""
_PATIENCE = 30.0
"""Seconds for a connection to the host of a document, and for each wait for data."""

Read = Callable[[bytes], Definitions]
"""Returns the operations that the text of a document describes."""


class Watch:
    """The operations of a document as it is now.

    Args:
        document: The document: a file, or a URL.
        text: The document as the catalogue was made of it.
        operations: The operations of the catalogue.
        read: Returns the operations of another text.
    """

    def __init__(self, document: str, text: bytes, operations: Definitions, read: Read) -> None:
        self._document, self._text, self._operations, self._read = document, text, operations, read
        self._lock = threading.Lock()
        self._looked: object
        # a file may have changed since the catalogue was made
        self._looked = _mark(document) if is_url(document) else None

    async def now(self) -> Definitions:
        """Return the operations that the document describes at this moment.

        Raises:
            ToolFailed: If it cannot be read, or used; nothing was asked of the service.
        """
        return await asyncio.to_thread(self._now)

    def _now(self) -> Definitions:
        with self._lock:
            mark = _mark(self._document)
            if mark == self._looked:
                return self._operations
            try:
                text = fetched(self._document)
                if text != self._text:
                    self._operations, self._text = self._read(text), text
            except ToolFailed:
                raise
            except AirlockError as error:
                raise ToolFailed(
                    f"the document cannot be read again, and nothing was called: {error}", retry=True
                ) from error
            self._looked = mark
            return self._operations


def _mark(document: str) -> object:
    """Return a value that changes when the document must be read again."""
    if is_url(document):
        return int(time.monotonic() / LOOK_AGAIN)
    try:
        about = Path(document).stat()
    except OSError as error:
        return error.errno
    return about.st_ino, about.st_size, about.st_mtime_ns


def is_url(document: str) -> bool:
    """Return True for a document that is fetched, and False for a file."""
    return document.startswith(("http://", "https://"))


def fetched(document: str) -> bytes:
    """Return the bytes of a document: those of a file, or of a URL, which gets no header of the service.

    Raises:
        ContractError: If it cannot be read.
    """
    if not is_url(document):
        try:
            return Path(document).read_bytes()
        except OSError as error:
            raise ContractError(f"{document}: {error.strerror or error}") from error
    import httpx

    try:
        with httpx.Client(timeout=_PATIENCE, trust_env=False) as client, client.stream("GET", document) as answer:
            if answer.status_code != 200:
                raise ContractError(f"{document} was answered {answer.status_code}; redirects are not followed")
            content = b""
            for part in answer.iter_bytes():
                content += part
                if len(content) > MAX_DOCUMENT_BYTES:
                    raise ContractError(f"{document} has more than {MAX_DOCUMENT_BYTES:,} bytes")
            return content
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ContractError(f"{document} cannot be read: {type(error).__name__} {error}".rstrip()) from error
