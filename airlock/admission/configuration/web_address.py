"""The addresses in the operator's file: what is none is refused before anything is sent there."""

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
"""Hosts that only programs of this machine reach, so that plain HTTP is enough."""
HTTPS: Final = "https"
HTTP_OF_THIS_MACHINE: Final = "https, or http to this machine"
HTTP: Final = "https or http"
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?\.?|[0-9A-Fa-f:.]+(%[A-Za-z0-9]+)?")
_UNSAFE: Final = re.compile(r"[\s\\<>\"]")


def address_problem(address: str, allowed: str = HTTPS, *, secret: bool = False) -> str:
    """Return the reason why a text is no address of a web server; empty if it is one.

    Args:
        address: The text. It may be a secret, and is not quoted.
        allowed: The schemes: `HTTPS`, `HTTP_OF_THIS_MACHINE` or `HTTP`.
        secret: True if it is a secret, and may hold a user and a password.
    """
    parts = _split(address)
    if parts is None:
        return "is not a URL: its host or its port cannot be read"
    if parts.scheme not in ("http", "https"):
        return "is no web address: it must begin with https://"
    if not parts.hostname or not _HOST.fullmatch(parts.hostname) or _UNSAFE.search(address):
        return "names no host that there can be: write https:// and a host"
    if not secret and (parts.username is not None or parts.password is not None):
        return "holds a user or a password, which belong into a secret"
    if parts.scheme == "http" and (allowed == HTTPS or (allowed == HTTP_OF_THIS_MACHINE and parts.hostname not in LOOPBACK)):
        return "is plain http, which others can read: it must begin with https://"
    return ""


def host_of(address: str) -> str:
    """Return the host of an address in small letters; empty if it has none."""
    parts = _split(address)
    return "" if parts is None else (parts.hostname or "").rstrip(".")


def _split(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address)
        _ = parts.port  # a port that is no number
    except ValueError:
        return None
    return parts
