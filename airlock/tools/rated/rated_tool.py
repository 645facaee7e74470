"""One tool of another system as a tool of the catalogue: its functions, as the operator's entry says."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from airlock.admission.configuration.tool_entries import SelfPreview
from airlock.base.canonical import canonical_json, digest
from airlock.base.errors import InDoubt, Stale, ToolFailed
from airlock.base.text import MAX_OUTPUT_BYTES, shorten
from airlock.plans.arguments.schema_arguments import SchemaArguments
from airlock.plans.refs import UNKNOWN, contains_unknown
from airlock.plans.tool_call import Preview, Probe, ToolCall
from airlock.tools.common import require_mine
from airlock.tools.rated.definitions import Definitions, changes
from airlock.tools.rated.judged import Failure, JudgedSession
from airlock.tools.rated.mapped_calls import MappedCall, Observed, Probed, Undoing
from airlock.tools.rated.mappings import Expression
from airlock.tools.rated.session import Reach, Session, ToolSaidError, doubtful

MAX_STATE_BYTES = 40_000
"""The size of a state that is kept for an undo, as JSON."""
_SHOWN = 1_000
"""Characters of a state or an answer that a preview shows."""

_AGAIN = "to take this over, pin it again or start the worker again; what was approved before is then proposed once more"


@dataclass(frozen=True)
class RatedTool:
    """The functions of one tool. Which of them are declared, the catalogue decides."""

    system: str
    """The kind and the name of the system, for messages: `MCP server 'files'`."""
    server: str
    """The first part of the names of its tools."""
    name: str
    """The name that the system gives it."""
    definitions: Definitions
    reach: Reach
    open_answer: Any
    """The answer of a mock: a later step may refer to any part of it, which only the system knows."""
    sent: Callable[[Mapping[str, Any]], str]
    """Returns what a preview says of what a call sends, beside its arguments."""
    writes: bool
    errors_have_no_effect: bool
    mock_answer: Expression | None = None
    dry: MappedCall | SelfPreview | None = None
    observed: Observed | None = None
    undo: tuple[Undoing, ...] = ()
    probed: Probed | None = None
    failures: Mapping[str, Failure] = field(default_factory=dict)
    """The answers that say that a call failed, by tool: of this one, and of those that its entry names."""

    async def live(self, args: SchemaArguments, call: ToolCall) -> Any:
        """Make the call: the server must have the tools that were pinned, and the state the one that was previewed."""
        given = args.given()
        session, before = await self._ready(given, call)
        if self.observed is not None and call.observed is not None and digest(before) != call.observed:
            raise Stale(f"{self.observed.tool} does not answer what it did when this call was previewed")
        if not self.writes:
            return await self._answer(session, given)
        self._require_undo(given, before)
        earlier = call.undo
        if self.undo:
            call.undo = _token(before=before)
        try:
            await require_mine(call)
            output = await self._written(session, given, before, call)
        except ToolFailed:
            call.undo = earlier  # this attempt has nothing to undo
            raise
        if self.undo:
            call.undo = self._token_behind(before, output, await self._after(session, given))
        return output

    async def _ready(self, given: Mapping[str, Any], call: ToolCall) -> tuple[Session, Any]:
        """Return a session and the state before the call.

        Raises:
            ToolFailed: Also if the time of the call is over by then: unlike a call that got no answer, it was not made.
        """
        with self._nothing_made("the call"):
            session = await self._unchanged(call, self.observed, *self.undo, self.probed)
            return session, await self._state(session, given)

    @contextmanager
    def _nothing_made(self, what: str) -> Iterator[None]:
        """Tell what is cut off here as a failure: nothing that changes anything has been sent by then."""
        try:
            yield
        except asyncio.CancelledError as error:
            raise ToolFailed(f"{self.system} was not ready in time: {what} was not made", retry=True) from error

    def _token_behind(self, before: Any, output: Any, after: str | None) -> dict[str, Any]:
        needs_output = any(each.args.reads("output") for each in self.undo)
        whole = _token(before=before, output=output if needs_output else None, after=after)
        # a token that cannot be kept would be worse than one without the answer
        return whole if len(canonical_json(whole)) < MAX_OUTPUT_BYTES else _token(before=before, after=after)

    async def _written(self, session: Session, given: Mapping[str, Any], before: Any, call: ToolCall) -> Any:
        try:
            return await session.output(self.name, given, writes=True, key=call.idempotency_key, fence=call.fence)
        except ToolSaidError as error:
            if self.errors_have_no_effect:
                raise
            # the server has answered: what it did, it has done
            if self.observed is not None and await self._after(session, given) == digest(before):
                raise ToolFailed(f"{error} (and {self.observed.tool} answers as before)") from error
            raise doubtful(error) from error
        except asyncio.CancelledError:  # its time is over: the system is told to stop, and need not
            raise InDoubt(f"{self.system} did not answer in time, and may still be at it", unfinished=True) from None

    async def dry_run(self, args: SchemaArguments, call: ToolCall) -> Preview:
        """Check that the server has the tools that were pinned, and read what the entry says."""
        given = args.given()
        sent = self.sent(given)
        other = self.dry if isinstance(self.dry, MappedCall) else None
        session = await self._unchanged(call, other, self.observed, *self.undo)
        try:
            before = await self._state(session, given)
            self._require_undo(given, before)
            effect, output = await self._previewed(session, given)
        except ToolSaidError as error:
            if not call.follows_writes:
                raise
            return Preview(
                effect=f"{sent}Would call {self._shown}. Now: {error}; earlier steps of the plan may change that."
            )
        pinned = None
        if self.observed is not None:
            effect += f" Before: {_short(before)}."
            # what earlier steps change is not known before they do it: then nothing is held against the live call
            pinned = None if call.follows_writes else digest(before)
        return Preview(effect=sent + effect, output=output, observed=pinned, undo=self._undo_in_words(given, before, call))

    async def _previewed(self, session: Session, given: Mapping[str, Any]) -> tuple[str, Any]:
        if isinstance(self.dry, SelfPreview):
            answer = await self._answer(session, {**given, self.dry.argument: self.dry.value})
            return f"Would call {self._shown}, which says: {_short(answer)}.", UNKNOWN
        if self.dry is None:
            return f"Would call {self._shown}.", UNKNOWN
        answer = await self._read(session, self.dry, {"args": given})
        if self.dry.tool == self.name:
            return f"Would call {self._shown}, which answered now: {_short(answer)}.", answer
        return f"Would call {self._shown}; {self.dry.tool} answered now: {_short(answer)}.", UNKNOWN

    def mock(self, args: SchemaArguments, _call: ToolCall) -> Any:
        """Return the answer that the entry makes of the arguments; without one, all of it is unknown."""
        given = args.given()
        if self.mock_answer is None or contains_unknown(given):
            return self.open_answer
        return self.mock_answer.search({"args": given})

    async def compensate(self, args: SchemaArguments, call: ToolCall) -> None:
        """Undo the call, unless it is undone already, or something else has changed what it changed."""
        scope, undoing = self._undo_of(args, call)
        given = undoing.given(scope)
        with self._nothing_made("the undo"):
            session = await self._unchanged(call, undoing, self.observed)
            if await self._is_undone(session, scope, call):
                return
            await require_mine(call)
        try:
            await session.output(undoing.tool, given, writes=True, key=f"{call.idempotency_key}/undo", undoes=True)
        except ToolSaidError as error:
            if self.errors_have_no_effect:
                raise
            raise doubtful(error) from error

    async def undo_check(self, args: SchemaArguments, call: ToolCall) -> Preview:
        """Check what `compensate` would check, and change nothing."""
        scope, undoing = self._undo_of(args, call)
        given = undoing.given(scope)
        session = await self._unchanged(call, undoing, self.observed)
        if await self._is_undone(session, scope, call):
            return Preview(effect="It is undone already.")
        return Preview(effect=f"Would call {self.server}.{undoing.tool} with {_short(given)}.")

    async def probe(self, args: SchemaArguments, call: ToolCall) -> Probe:
        """Read whether a call in doubt took effect."""
        assert self.probed is not None
        token = call.undo if isinstance(call.undo, dict) else {}
        scope = {"args": args.given(), "before": token.get("before"), "output": token.get("output")}
        session = await self._unchanged(call, self.probed)
        try:
            answer = await self._read(session, self.probed, scope)
        except ToolSaidError as error:
            return Probe(happened=None, why=str(error))
        happened = self.probed.happened.search({**scope, "answer": answer})
        why = f"{self.probed.tool} answers {_short(answer)}"
        return Probe(happened=happened if isinstance(happened, bool) else None, why=why)

    @property
    def _shown(self) -> str:
        return f"{self.server}.{self.name}"

    async def _unchanged(self, call: ToolCall, *others: MappedCall | None) -> Session:
        """Return a session of a server whose tools are those that were pinned.

        Args:
            call: The call.
            others: The calls of other tools that this one makes, or relies on.

        Raises:
            ToolFailed: If it cannot be reached, or what it says of its tools has changed; the difference is told.
        """
        session, found = await self.reach(call)
        for tool in dict.fromkeys((self.name, *(other.tool for other in others if other))):
            if told := changes(self.definitions, found, tool):
                named = "" if tool == self.name else f"{tool}, which the entry of {self.name} names: "
                raise ToolFailed(f"the tools of {self.system} are not those that were pinned: {named}{told} ({_AGAIN})")
        return JudgedSession(session, self.failures) if self.failures else session

    async def _answer(self, session: Session, given: Mapping[str, Any]) -> Any:
        """Return what the tool itself answers to a call that changes nothing."""
        return await session.output(self.name, given, writes=False)

    async def _read(self, session: Session, mapped: MappedCall, scope: Mapping[str, Any]) -> Any:
        return await session.output(mapped.tool, mapped.given(scope), writes=False)

    async def _state(self, session: Session, given: Mapping[str, Any]) -> Any:
        if self.observed is None:
            return None
        try:
            answer = await self._read(session, self.observed, {"args": given})
        except ToolSaidError as error:
            if self.observed.absent is None or self.observed.absent not in error.said:
                raise
            return None
        state = self.observed.state.search(answer)
        if self.undo and len(canonical_json(state)) > MAX_STATE_BYTES:
            raise ToolFailed(
                f"what {self.observed.tool} answers is larger than the {MAX_STATE_BYTES} bytes kept for an undo"
            )
        return state

    async def _after(self, session: Session, given: Mapping[str, Any]) -> str | None:
        """Return the digest of the state behind a call; None if it cannot be read."""
        if self.observed is None:
            return None
        try:
            return digest(await self._state(session, given))
        except Exception:  # noqa: BLE001  # the call has been made, whatever a look behind it meets
            return None

    def _require_undo(self, given: Mapping[str, Any], before: Any) -> None:
        if self.undo and self._undoing({"args": given, "before": before}) is None:
            raise ToolFailed("none of the compensations that the operator wrote fits this call: it could not be undone")

    def _undoing(self, scope: Mapping[str, Any]) -> Undoing | None:
        return next((each for each in self.undo if each.fits(scope)), None)

    def _undo_in_words(self, given: Mapping[str, Any], before: Any, call: ToolCall) -> str | None:
        scope = {"args": given, "before": before}
        undoing = self._undoing(scope)
        if undoing is None:
            return None
        if undoing.args.reads("output"):
            return f"Would call {self.server}.{undoing.tool} with values of the answer."
        if undoing.args.reads("before") and call.follows_writes:
            return f"Would call {self.server}.{undoing.tool} with values of what is there right before the call."
        return f"Would call {self.server}.{undoing.tool} with {_short(undoing.given(scope))}."

    def _undo_of(self, args: SchemaArguments, call: ToolCall) -> tuple[dict[str, Any], Undoing]:
        token = call.undo
        if not isinstance(token, dict) or "before" not in token:
            raise ToolFailed("there is no undo token: the call did not come as far as its effect")
        scope = {"args": args.given(), "before": token["before"], "output": token.get("output")}
        undoing = self._undoing(scope)
        if undoing is None:
            raise ToolFailed("none of the compensations that the operator wrote fits this call")
        if undoing.args.reads("output") and "output" not in token:
            raise ToolFailed(f"the answer of the call is not known, and {undoing.args.text!r} needs it")
        return scope, undoing

    async def _is_undone(self, session: Session, scope: Mapping[str, Any], call: ToolCall) -> bool:
        """Return True if the state is the one before the call.

        Raises:
            Stale: If it is neither that one nor the one behind the call.
        """
        if self.observed is None:
            return False
        now, token = digest(await self._state(session, scope["args"])), call.undo
        if now == digest(scope["before"]):
            return True
        after = token.get("after") if isinstance(token, dict) else None
        if after is not None and now != after:
            raise Stale(
                f"{self.observed.tool} answers neither as before the call nor as behind it: another program changed it"
            )
        return False


def _token(**parts: Any) -> dict[str, Any]:
    return {name: value for name, value in parts.items() if name == "before" or value is not None}


def _short(value: Any) -> str:
    return shorten(json.dumps(value, ensure_ascii=False), _SHOWN)
