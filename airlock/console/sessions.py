"""Sessions of people who signed in, in memory: they end with the process, when idle, and in any case after hours.

The browser holds an id of 256 bits and nothing else. Here lies only its hash, with who signed in and what was shown to them.
"""

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from airlock.base.incoming import Verdict
from airlock.base.person import same_person
from airlock.client.inbox import InboxFilter
from airlock.client.search import PlanQuestion

MOST = 5_000
"""Sessions at a time; the oldest one ends for a new one beyond."""
MOST_OF_ONE = 50
"""Sessions of one person; a further one ends that person's oldest, and none of another person."""
MOST_NOTICES = 120
"""Answers that wait for the next page."""
AGAIN_FOR = 60.0
"""Seconds in which the same page says them again: it loads itself again when its plan has changed, or a worker answers."""
MOST_SHOWN = 2_000
"""Previews of which a session remembers that they were shown; the oldest are forgotten."""


@dataclass
class Shown:
    """The parts of one preview that a session was shown."""

    writing: frozenset[str]
    """All steps that an approval would let change something."""
    steps: set[str] = field(default_factory=set)
    """The steps that were shown."""
    needs_signature: bool = False
    """True if an approval of all of it must be signed."""

    @property
    def whole(self) -> bool:
        """True if every step that would change something was shown."""
        return self.writing <= self.steps


@dataclass(frozen=True)
class Notice:
    """The answer to a decision, shown on the next page."""

    text: str
    accepted: bool
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Told:
    """The notices that a page has shown."""

    path: str
    at: float
    """Seconds of a clock that never goes back."""
    notices: tuple[Notice, ...]


@dataclass
class Session:
    """One person's session."""

    person: str
    method: str
    """`passkey` or `oidc`."""
    credential: str
    """The id of the passkey, or the subject at the provider."""
    began: float
    seen: float
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    filter: InboxFilter = field(default_factory=InboxFilter)
    question: PlanQuestion = field(default_factory=PlanQuestion)
    """The search."""
    search_places: list[bytes] = field(default_factory=lambda: [b""])
    """The places at which the pages of the search begin, as far as they are known."""
    streams: int = 0
    notices: list[Notice] = field(default_factory=list)
    told: Told | None = None
    shown: "OrderedDict[tuple[str, str], Shown]" = field(default_factory=OrderedDict)
    """By workflow id and digest."""

    def show(
        self, workflow_id: str, digest: str, writing: Iterable[str], steps: Iterable[str], *, needs_signature: bool = False
    ) -> Shown:
        """Record that steps of a preview are shown now, and whether its approval must be signed."""
        key = (workflow_id, digest)
        known = self.shown.setdefault(key, Shown(frozenset(writing)))
        known.steps.update(steps)
        known.needs_signature = needs_signature
        self.shown.move_to_end(key)
        while len(self.shown) > MOST_SHOWN:
            self.shown.popitem(last=False)
        return known

    def was_shown(self, workflow_id: str, digest: str | None) -> Shown | None:
        """Return what was shown of a preview; None if it was never opened in this session."""
        return None if digest is None else self.shown.get((workflow_id, digest))

    def tell(self, what: str, verdict: Verdict) -> None:
        """Keep the answer to a decision for the next page."""
        said = "accepted" if verdict.accepted else "refused"
        self.notices.append(Notice(f"{what} {said}: {verdict.reason}", verdict.accepted, verdict.changed))
        del self.notices[:-MOST_NOTICES]

    def take_notices(self, path: str, now: float) -> tuple[Notice, ...]:
        """Return the notices for a page: once, and again to the same page for `AGAIN_FOR` seconds."""
        told, new = self.told, tuple(self.notices)
        self.notices = []
        again = told.notices if told is not None and told.path == path and now - told.at < AGAIN_FOR else ()
        shown = (again + new)[-MOST_NOTICES:]
        if new or not again:
            self.told = Told(path, now, shown)
        return shown

    def fits(self, csrf: str) -> bool:
        """Return True if a form carries the token of this session."""
        return hmac.compare_digest(csrf.encode(), self.csrf.encode())


class Sessions:
    """All sessions of this process.

    Args:
        idle: Seconds without a click after which a session ends.
        longest: Seconds after which it ends in any case.
        valid: Returns False for a session whose person may not sign in any more.
        clock: Returns seconds that never go back.
    """

    def __init__(
        self, idle: float, longest: float, valid: Callable[[Session], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._idle, self._longest, self._valid, self._clock = idle, longest, valid, clock
        self._known: OrderedDict[str, Session] = OrderedDict()

    def begin(self, person: str, method: str, credential: str) -> str:
        """Begin a session, and return the id for the browser."""
        now = self._clock()
        for key in [key for key, session in self._known.items() if self._over(session, now)]:
            del self._known[key]
        own = [key for key, session in self._known.items() if same_person(session.person, person)]
        for key in own[: max(len(own) - MOST_OF_ONE + 1, 0)]:
            del self._known[key]
        while len(self._known) >= MOST:
            self._known.popitem(last=False)
        name = secrets.token_urlsafe(32)
        self._known[_hash(name)] = Session(person=person, method=method, credential=credential, began=now, seen=now)
        return name

    def find(self, name: str | None, *, click: bool = False) -> Session | None:
        """Return the session of an id; None if there is none, or it is over.

        Args:
            name: The id that the browser sent.
            click: True if a person asked, so that the session is not idle; False for what a page asks by itself.
        """
        if not name:
            return None
        key = _hash(name)
        session = self._known.get(key)
        if session is None:
            return None
        now = self._clock()
        if self._over(session, now) or not self._valid(session):
            del self._known[key]
            return None
        if click:
            session.seen = now
        return session

    def end(self, name: str | None) -> None:
        """End the session of an id."""
        self._known.pop(_hash(name or ""), None)

    def _over(self, session: Session, now: float) -> bool:
        return now - session.seen > self._idle or now - session.began > self._longest


def _hash(name: str) -> str:
    return hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()
