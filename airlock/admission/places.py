"""Text in arguments that looks like a place to fill in. Nothing fills it in: a tool would get the braces."""

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from airlock.base.errors import Problem
from airlock.base.text import shorten
from airlock.plans.plan import Step
from airlock.plans.refs import REF, SECRET

_WHOSE = "first|last|full|customer|client|company|recipient"
_FOREIGN = (
    r"\{\{.{1,200}?\}\}",  # Jinja, Handlebars, GitHub
    r"\$\{[^{}\n]{1,200}\}",  # shells, JavaScript
    r"\{%.{1,200}?%\}",
    r"<%.{1,200}?%>",
    r"%\([A-Za-z_][\w.-]{0,100}\)s",
    r"#\{[A-Za-z_][\w.]{0,100}\}",  # Ruby
    r"\*\|[A-Z][A-Z0-9_:]{0,60}\|\*",  # Mailchimp
    r"@@\w{1,60}@@",
    r"\{[A-Za-z]+(?:_[A-Za-z0-9]+)+\}|(?i:\{(?:name|email|customer|company|date|amount)\})",  # Python
    r"<[A-Z][A-Z0-9]*(?:[ _][A-Z0-9]+)+>",
    # written by people and by language models, unless it is the text of a link or an index
    rf"(?i:(?<![\w\])])\[(?:(?:your|insert|enter|{_WHOSE}) [\w ']{{1,40}}|(?:{_WHOSE} )?name)\](?!\())",
    r"\{\s*\\?[\"']?\$(?:ref|secret)\\?[\"']?\s*:[^{}]{0,200}\}?",  # a placeholder written into a text
)
_NAMED = 3
"""Places of one text that a warning names."""
_SHOWN = 80
_SEARCHED = 20_000
"""Characters at the beginning of one text that are searched."""
_MISSPELT = re.compile(r"\$?(?:ref|refs|reference|secret|secrets)", re.IGNORECASE)


def misplaced_markers(step: Step) -> list[Problem]:
    """Return each object that holds `$ref` or `$secret` beside other keys: it would be sent as it stands."""
    return [
        Problem(
            where=f"steps.{step.id}.args.{path}".removesuffix("."),
            message=f"holds {' and '.join(kinds)} beside {_others(value)}, so it would be sent as it is",
            fix=f'write {{"{kinds[0]}": ...}} alone; nothing stands in for a value that is absent',
        )
        for path, value in _objects(step.args)
        if len(value) > 1 and (kinds := [key for key in (REF, SECRET) if key in value])
    ]


def place_warnings(step: Step, steps: frozenset[str]) -> list[Problem]:
    """Return a warning for each text that looks like a template, and each object that looks like a misspelt placeholder.

    Args:
        step: The step.
        steps: The ids of all steps: `{find.name}` and `$find.name` are places to fill in only if there is a step `find`.
    """
    found = [(path, places) for path, text in texts(step.args) if (places := _places(text[:_SEARCHED], steps))]
    objects = [(path, value) for path, value in _objects(step.args) if path and _looks_misspelt(value, steps)]
    return [
        *(_place_warning(step, path, places) for path, places in found),
        *(_misspelt(step, path, next(iter(value))) for path, value in objects),
    ]


def texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each text in a JSON value with its path, except those of placeholders."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        if len(value) == 1 and next(iter(value)) in (REF, SECRET):
            return
        for key, child in value.items():
            yield from texts(child, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for index, child in enumerate(value):
            yield from texts(child, f"{path}[{index}]")


def _place_warning(step: Step, path: str, places: list[str]) -> Problem:
    more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
    return Problem(
        where=f"steps.{step.id}.args.{path}",
        message="looks like a place to fill in, but is sent as it is: "
        + ", ".join(shorten(place, _SHOWN) for place in places[:_NAMED])
        + more,
        fix='write {"$ref": "<step>.<path>"} in place of the whole value; nothing is filled in inside a text',
    )


def _misspelt(step: Step, path: str, key: str) -> Problem:
    kind = SECRET if "secret" in key.lower() else REF
    return Problem(
        where=f"steps.{step.id}.args.{path}".removesuffix("."),
        message=f"looks like a placeholder, but its key is {shorten(key, _SHOWN)!r}, so it is sent as it is",
        fix=f'write {{"{kind}": "..."}}',
    )


def _looks_misspelt(value: Mapping[str, Any], steps: frozenset[str]) -> bool:
    if len(value) != 1:
        return False
    key, text = next(iter(value.items()))
    if not isinstance(text, str) or key in (REF, SECRET) or not _MISSPELT.fullmatch(key.strip()):
        return False
    # without a dollar it may be anything, unless it names a step
    return key.strip().startswith("$") or re.split(r"[.\[]", text, maxsplit=1)[0] in steps


def _places(text: str, steps: frozenset[str]) -> list[str]:
    if not any(mark in text for mark in "{$<%[*@"):
        return []
    found = [(match.start(), match.end()) for match in _pattern(steps).finditer(text)]
    return [text[start:end] for start, end in found]


@lru_cache(maxsize=4)
def _pattern(steps: frozenset[str]) -> re.Pattern[str]:
    own = _own(sorted(steps)[:1_000])
    return re.compile("|".join((*_FOREIGN, *own)), re.DOTALL)


def _own(steps: Iterable[str]) -> tuple[str, ...]:
    names = "|".join(re.escape(step) for step in sorted(steps, key=len, reverse=True))
    if not names:
        return ()
    path = rf"(?:steps\.)?(?:{names})[.\[][\w.\[\]\"-]{{1,200}}"
    return (rf"\{{\s*{path}\s*\}}", rf"\$(?:{names})[.\[][\w.\[\]-]{{1,200}}", rf"<\s*{path}\s*>")


def _others(value: Mapping[str, Any]) -> str:
    others = [key for key in value if key not in (REF, SECRET)]
    return ", ".join(repr(shorten(key, _SHOWN)) for key in others[:_NAMED]) or "each other"


def _objects(value: Any, path: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        yield path, value
        for key, child in value.items():
            yield from _objects(child, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list | tuple):
        for index, child in enumerate(value):
            yield from _objects(child, f"{path}[{index}]")
