"""The values that a call would replace, beside those that it would write."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from airlock.base.text import count
from airlock.plans.outcome import StepPreview
from airlock.run.presentation.argument_lines import WIDTH, json_text, key_name, with_its_end

UNTOLD = object()
"""In the place of a value that is not there; null is a value."""
MOST_COMPARED = 2_000
"""Lines of a text that are compared with those before it; a longer one is shown as it would be."""
_MOST_PARTS = 40
"""Fields of an object that are compared one by one."""
_CONTEXT = 2


@dataclass(frozen=True)
class Pair:
    """One value as it is and as it would be."""

    path: str
    """Its path among the arguments."""
    shown: str
    """The same, with everything in it visible."""
    new: object
    """`UNTOLD` for a value that the call does not write."""
    old: object
    """`UNTOLD` if the former value is not known."""


def former_of(preview: StepPreview | None) -> Mapping[str, object]:
    """Return the former values of a preview, by argument: its own, and those that a tool put into what it observed."""
    if preview is None:
        return {}
    observed = preview.observed.get("before") if isinstance(preview.observed, Mapping) else None
    return {**(observed if isinstance(observed, Mapping) else {}), **preview.former}


def pairs(name: str, new: object, old: object, whole: frozenset[str] = frozenset()) -> Iterator[Pair]:
    """Yield an argument with its former value; an object of which the former value is known, field by field.

    Args:
        name: The argument.
        new: Its value.
        old: The former value.
        whole: Arguments that are not taken apart.
    """
    parts = {*new, *old} if isinstance(new, Mapping) and isinstance(old, Mapping) else set()
    if not parts or len(parts) > _MOST_PARTS or name in whole:
        yield Pair(name, key_name(name), new, old)
        return
    assert isinstance(new, Mapping)
    assert isinstance(old, Mapping)
    for key in sorted(parts):
        yield Pair(f"{name}.{key}", f"{key_name(name)}.{key_name(key)}", new.get(key, UNTOLD), old.get(key, UNTOLD))


def text_changes(preview: StepPreview, indent: str) -> Iterator[str]:
    """Yield the changed lines of each text that a call would replace, with a few lines around them."""
    former = former_of(preview)
    for name in sorted(former):
        for pair in pairs(name, preview.args.get(name, UNTOLD), former[name]):
            if not isinstance(pair.old, str) or ("\n" not in pair.old and len(json_text(pair.old)) <= WIDTH):
                continue
            new = pair.new.split("\n") if isinstance(pair.new, str) else []
            old = pair.old.split("\n")
            if max(len(new), len(old)) > MOST_COMPARED:
                yield f"{indent}{pair.shown}: replaces a text of {count(len(old), 'line')}"
                continue
            lines = list(difflib.unified_diff(old, new, lineterm="", n=_CONTEXT))[2:]
            yield f"{indent}{pair.shown}: " + ("changes of the text:" if lines else "the text stays as it is")
            yield from (f"{indent}  {line[:1]}│{with_its_end(line[1:])}" for line in lines)
