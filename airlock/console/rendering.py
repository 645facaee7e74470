"""The templates: every text in them is escaped, and what a text hides is shown."""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from airlock.base.text import count, listed
from airlock.base.visible import CLOSE, OPEN, printable, visible
from airlock.client.live_gate import Proof
from airlock.gates.lock_proof import Proved, ProvedExcept, Unknown
from airlock.program import as_started
from airlock.run.presentation.changes import BlockKind
from airlock.run.presentation.undo_preview import quoted
from airlock.signing.passkey import Passkey

_MARKED = re.compile(f"{OPEN}[^{CLOSE}]*{CLOSE}")
_LINE_ENDS = re.compile(r"\r\n|\r|\n")


class Templates:
    """The templates of this package."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("airlock.console"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=_shown,
        )
        filters: dict[str, Callable[..., Any]] = {
            "v": lambda text: marked(visible(text)),
            "plain": visible,
            "plan": plan_path,
            "marked": marked,
            "moment": moment,
            "away": away,
            "words": lambda text: marked(visible(as_started(text))),
            "broken": broken,
            "count": count,
            "listed": listed,
            "key_names": key_names,
            "quoted": lambda text: marked(quoted(text)),
        }
        self._environment.filters.update(filters)
        self._environment.globals.update(BlockKind=BlockKind, proof_words=proof_words, now=lambda: datetime.now(UTC))

    def render(self, template: str, **context: Any) -> str:
        """Return a template with its values."""
        return self._environment.get_template(template).render(**context)


def _shown(value: object) -> object:
    """Return a value for a page; a text that was not made visible before shows nothing invisible here either."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return "\n".join(map(printable, _LINE_ENDS.split(value)))
    return value


def marked(text: str) -> Markup:
    """Return a text in its visible form as HTML, in which its marks stand out."""
    parts: list[Markup] = []
    end = 0
    for found in _MARKED.finditer(text):
        parts += [_kept(text[end : found.start()]), Markup("<mark>%s</mark>") % found[0]]
        end = found.end()
    return Markup("").join([*parts, _kept(text[end:])])


def _kept(text: str) -> Markup:
    """Return a text as HTML in which two spaces are not drawn as one: another value would look the same."""
    return Markup('<span class="spaces">  </span>').join(map(escape, text.split("  ")))


def broken(text: str) -> Markup:
    """Return a name of several words as HTML that may break between its words, and nowhere else."""
    return Markup("_<wbr>").join(marked(visible(part)) for part in text.split("_"))


def key_names(passkeys: Iterable[Passkey]) -> Markup:
    """Return the labels of a person's passkeys as HTML that follows `my passkey`; empty if none has one."""
    labels = sorted({each.label for each in passkeys if each.label})
    return marked(visible(f" ({' or '.join(labels)})")) if labels else Markup("")


def plan_path(plan_id: str) -> str:
    """Return the address of a plan's page."""
    return f"/plans/{quote(plan_id, safe='')}"


def proof_words(proof: Proof) -> str:
    """Return what the proof of a lock says, in one or two sentences."""
    if proof.problem:
        return visible(as_started(f"Not proven: {proof.problem}."))
    match proof.value:
        case Proved() if not proof.rows:
            return "Proven: nothing was live, and nothing can start."
        case Proved():
            return f"Proven: {count(len(proof.rows), 'plan')} had been live, and no call is running any more."
        case ProvedExcept(calls=calls):
            return f"Stopped, but {count(len(calls), 'call')} in doubt may still take effect."
        case Unknown(plans=plans):
            named = listed([plan.plan or "(unknown)" for plan in plans])
            return visible(f"Not proven yet: {named}. No further call starts.")


def moment(at: datetime | None) -> Markup:
    """Return a time as HTML, UTC."""
    if at is None:
        return Markup("")
    at = at.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{at:%Y-%m-%d %H:%M:%S} UTC")


def away(at: datetime | None, now: datetime) -> str:
    """Return how far a time is away, in words: `in 3 h 20 min`, `5 min ago`."""
    if at is None:
        return ""
    distance = at - now
    size = _length(abs(distance))
    return f"in {size}" if distance >= timedelta(0) else f"{size} ago"


def _length(distance: timedelta) -> str:
    total = int(distance.total_seconds())
    if total < 60:
        return f"{total} s"
    minutes, hours, days = total // 60 % 60, total // 3_600 % 24, total // 86_400
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
