"""The mistakes in `[[policy.passkeys]]` with which a passkey could never prove anything."""

from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import urlsplit

from airlock.admission.configuration.web_address import HTTP_OF_THIS_MACHINE, address_problem
from airlock.base.errors import Problem
from airlock.base.person import name_problem
from airlock.signing.passkey import MissingExtra, Passkey, key_problem

_PRINTED: Final = "copy the lines that the page /register of the console prints"


def passkey_problems(passkeys: Sequence[Passkey]) -> Iterator[Problem]:
    """Yield what is wrong with each passkey: its person, its key, and the pages that may ask it."""
    seen: set[str] = set()
    for at, passkey in enumerate(passkeys):
        for key, message, fix in _problems_of(passkey):
            yield Problem(where=f"policy.passkeys.{at}.{key}", message=f"of {passkey.person!a}: {message}", fix=fix)
        if passkey.credential + passkey.person in seen:
            message = f"of {passkey.person!a}: the same passkey stands there twice"
            yield Problem(where=f"policy.passkeys.{at}", message=message, fix="remove one of the two entries")
        seen.add(passkey.credential + passkey.person)


def _problems_of(passkey: Passkey) -> Iterator[tuple[str, str, str]]:
    if why := name_problem(passkey.person):
        yield "person", why, "write the name of its person"
    try:
        if why := key_problem(passkey):
            yield "public_key", f"is no public key of a passkey (COSE): {why}", _PRINTED
    except MissingExtra:
        pass  # a warning says so, and a worker does not start
    domain = passkey.rp_id
    if domain != domain.lower() or urlsplit(f"//{domain}").hostname != domain:
        yield "rp_id", "is no domain", 'write the host of the console alone, such as "console.example.org"'
        return
    for origin in passkey.origins:
        host = urlsplit(origin).hostname or ""
        if (why := address_problem(origin, HTTP_OF_THIS_MACHINE)) or origin != _origin(origin):
            why = why or "an origin has no path, and no / at its end"
            yield "origins", f"{origin[:80]!a}: {why}", f'write scheme and host, such as "https://{domain}"'
        elif host != domain and not host.endswith(f".{domain}"):
            message = f"{origin[:80]!a} is not a page of {domain}: a browser offers the passkey to that host alone"
            yield "origins", message, f'write "https://{domain}", or correct rp_id'


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"
