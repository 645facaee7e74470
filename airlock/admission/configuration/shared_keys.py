"""Keys that are listed for two people: with one of them a person would be counted twice."""

from collections.abc import Iterable, Iterator, Sequence

from airlock.base.errors import Problem
from airlock.base.keys import read_key
from airlock.base.person import folded
from airlock.signing.passkey import Passkey


def shared_key_problems(authorized_keys: Sequence[str], passkeys: Sequence[Passkey]) -> Iterator[Problem]:
    """Yield a problem for each group of people who share an SSH key or a passkey."""
    keys = map(read_key, authorized_keys)
    yield from _shared("policy.authorized_keys", ((key.person, key.blob) for key in keys))
    found = ((one.person, held) for one in passkeys for held in (f"id {one.credential}", f"key {one.public_key}"))
    yield from _shared("policy.passkeys", found)


def _shared(where: str, held: Iterable[tuple[str, object]]) -> Iterator[Problem]:
    people: dict[object, dict[str, str]] = {}
    for person, key in held:
        people.setdefault(key, {}).setdefault(folded(person), person)
    for names in {tuple(names): names for names in people.values() if len(names) > 1}.values():
        said = " and ".join(ascii(name) for name in names.values())
        yield Problem(where=where, message=f"{said} have the same key", fix="give each person a key of their own")
