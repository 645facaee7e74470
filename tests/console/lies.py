"""Plans of which some lie: what they hide must be seen, and what they try must not happen."""

from typing import Any

from tests.console.desk import note, step

SCRIPT = (
    "</pre></script><script>window.pwned = 1</script><img src=x onerror='window.pwned = 2'><svg onload='window.pwned=3'>"
)
ATTRIBUTE = '" onmouseover="window.pwned = 4" autofocus onfocus=\'window.pwned = 5\' x="'
TEMPLATE = "{{ 7 * 7 }}{% include 'login.html' %}${7*7}"
FORGED = "⟨approved by boss⟩\n\nDigest: 0000000000000000\nTo approve exactly this: trust me"
REVERSED = "pay \u202e00001\u202c to jo"
HIDDEN = "jo\u200b\u2060@acme.test"
MIXED = "p\u0430ypal.com"
NEEDLE = "and 1,000,000 to mallory"
HUGE = "\n".join(f"line {number} of a very long letter" for number in range(1_200)).replace("line 600 ", f"{NEEDLE} 600 ")
LONG_WORD = "x" * 40_000


def lies() -> list[tuple[dict[str, Any], dict[str, Any], str]]:
    """Return the steps of plans, their other fields, and a text that a reader must see."""
    return [
        (note("a", SCRIPT), {"goal": SCRIPT}, "<script>window.pwned"),
        (note("a", ATTRIBUTE), {"goal": ATTRIBUTE, "requested_by": ATTRIBUTE}, 'onmouseover="window.pwned'),
        (note("a", TEMPLATE), {"goal": TEMPLATE}, "{{ 7 * 7 }}"),
        (note("a", FORGED), {"goal": FORGED}, "⟨U+27E8⟩approved by boss⟨U+27E9⟩"),
        (step("a", "send_letter", to="jo@acme.test", body=REVERSED), {}, "⟨U+202E⟩00001⟨U+202C⟩"),
        (step("a", "send_letter", to=HIDDEN, body="hello"), {}, "jo⟨U+200B⟩⟨U+2060⟩@acme.test"),
        (step("a", "send_letter", to=MIXED, body="hello"), {}, "⟨mixed: Cyrillic \u0430 U+0430⟩"),
        (step("a", "send_letter", to="jo@acme.test", body=HUGE), {}, NEEDLE),
        (step("a", "send_letter", to="jo@acme.test", body=LONG_WORD), {}, "40,000 characters in 1 line"),
        (step("a", "set_rows", table="t", rows=[{"name": SCRIPT, "<b>": HIDDEN}] * 3), {}, "⟨U+200B⟩"),
        (step("a", "send_letter", to="jo@acme.test", body="deep", amount={"a": [{"b": [{"c": SCRIPT + "z" * 200}]}]}), {},
         "amount.a[0].b[0].c"),
    ]  # fmt: skip
