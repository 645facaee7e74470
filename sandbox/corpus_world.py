"""The original APIs of the corpus, in process: one `World` holds the API instances of one plan.

The corpus service wraps it; a comparison with calling the APIs directly uses it without HTTP.
"""

import contextlib
import copy
import importlib
import inspect
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sandbox.corpus_state import digest_of, plain

_PACKAGE = "bfcl_eval.eval_checker.multi_turn_eval.func_source_code"
MODULE_OF = {
    "GorillaFileSystem": "gorilla_file_system",
    "MathAPI": "math_api",
    "MessageAPI": "message_api",
    "TwitterAPI": "posting_api",
    "TicketAPI": "ticket_api",
    "TradingBot": "trading_bot",
    "TravelAPI": "travel_booking",
    "VehicleControlAPI": "vehicle_control",
}


class WorldError(Exception):
    """A request the world refuses; nothing has changed. `status` is what it is over HTTP."""

    status = 422


class Unknown(WorldError):
    """No such API, method or snapshot in this world."""

    status = 404


class Private(WorldError):
    """The method is not for callers."""

    status = 403


class Moved(WorldError):
    """The API's state is no longer the one the caller relied on."""

    status = 409


@dataclass(frozen=True, slots=True)
class Called:
    """The effect of a call: `changed` compares digests, `undo` names the snapshot that undoes it.

    `undo` is None when nothing at all has moved; a call that only drew from the API's random generator has
    `changed` False and an `undo`. The digests are those of the called API.
    """

    result: Any
    changed: bool
    undo: str | None
    digest_before: str
    digest_after: str

    def as_json(self) -> dict[str, Any]:
        """Return the same as a JSON object."""
        return asdict(self)


class World:
    """The API instances of one plan, built from a copy of its configuration.

    Arguments and results are JSON, never shared with the instances. Every call can be undone exactly,
    including the API's random generator. A call that raises changes nothing; its result is `{"error": ...}`.
    """

    def __init__(self, classes: Iterable[str], initial_config: Mapping[str, Any], name: str = "world") -> None:
        """Build the APIs.

        Args:
            classes: names of the API classes, as in the corpus.
            initial_config: class name to scenario; a class without one starts from its defaults.
            name: what the ids of snapshots start with.

        Raises:
            WorldError: a class is unknown or does not take its scenario.
        """
        self._name = name
        self._apis = {MODULE_OF.get(each, each): _build(each, initial_config.get(each)) for each in classes}
        self._snapshots: dict[str, tuple[str, Any]] = {}
        self._answers: dict[str, tuple[Any, Called]] = {}
        # by module, oldest first: the key of each call that moved the API, and the digest it moved it to
        self._moves = {module: [("", self.digest(module))] for module in self._apis}

    @property
    def modules(self) -> list[str]:
        """The APIs of this world, sorted."""
        return sorted(self._apis)

    def state(self) -> dict[str, Any]:
        """Return the whole state as JSON, by module."""
        return {module: plain(self._apis[module]) for module in self.modules}

    def digest(self, module: str | None = None) -> str:
        """Return the digest of one API's state, or of the whole state; random generators do not count."""
        return digest_of(self.state() if module is None else plain(self._api(module)))

    def generators(self) -> dict[str, str]:
        """Return a digest of each API's random generator, by module; APIs without one are left out."""
        found = {module: _generator(self._apis[module]) for module in self.modules}
        return {module: digest_of(plain(state)) for module, state in found.items() if state is not None}

    def call(
        self,
        module: str,
        method: str,
        args: Mapping[str, Any],
        key: str | None = None,
        if_digest: str | None = None,
        ours: str | None = None,
    ) -> Called:
        """Call a method once; the same `key` gives the same answer without calling again, even after an undo.

        An error that had no effect does not spend the key.

        Args:
            module: the API, by module name.
            method: a public method of it.
            args: arguments by name.
            key: idempotency key.
            if_digest: call only if this is the digest of the API's state.
            ours: Beginning of the keys whose calls may have moved the API from `if_digest` since; None for no call.

        Raises:
            Unknown: no such API or method.
            Private: the method starts with an underscore.
            Moved: `if_digest` is not the digest of the API's state, and others than `ours` have moved it.
            WorldError: wrong arguments, or the key was used for another call.
        """
        request = plain([module, method, args])
        if key is not None and key in self._answers:
            first, answer = self._answers[key]
            if first != request:
                raise WorldError(f"idempotency key {key!r} was used for another call")
            return copy.deepcopy(answer)
        before = self.digest(module)
        if if_digest is not None and self._moved_by_others(module, if_digest, before, ours):
            raise Moved(f"the state of {module} has moved: its digest is {before}")
        called = self._call(module, method, args, before)
        if called.changed:
            self._moves[module].append((key or "", called.digest_after))
        failed = isinstance(called.result, dict) and "error" in called.result
        if key is not None and (called.undo or not failed):
            self._answers[key] = (request, copy.deepcopy(called))
        return called

    def answer(self, key: str) -> Called:
        """Return the call under an idempotency key, even if it was undone since.

        Raises:
            Unknown: no call under this key took effect or succeeded.
        """
        if key not in self._answers:
            raise Unknown(f"no call under the key {key!r} in this world")
        return copy.deepcopy(self._answers[key][1])

    def peek(self, module: str, method: str, args: Mapping[str, Any]) -> tuple[Any, str]:
        """Return the result `call` would have now, and the digest it would start from; nothing changes.

        Raises:
            WorldError: as `call`.
        """
        api = self._api(module)
        before = self.digest(module)
        return _invoke(copy.deepcopy(api), method, args)[0], before

    def restore(self, undo: str) -> str:
        """Put the API of a call back to what it was before that call; returns the API's module.

        It sets that state again however often it is repeated; the snapshot stays.

        Raises:
            Unknown: this world made no such snapshot.
        """
        if undo not in self._snapshots:
            raise Unknown(f"no snapshot {undo!r} in this world")
        module, snapshot = self._snapshots[undo]
        self._apis[module] = copy.deepcopy(snapshot)
        self._moves[module].append(("", self.digest(module)))
        return module

    def _api(self, module: str) -> Any:
        if module not in self._apis:
            raise Unknown(f"no API {module!r} in this world; it has {self.modules}")
        return self._apis[module]

    def _moved_by_others(self, module: str, since: str, now: str, ours: str | None) -> bool:
        """Return True if a caller other than `ours` took part in moving an API from one digest to another."""
        if since == now:
            return False
        for key, digest in reversed(self._moves[module]):
            if digest == since:
                return False
            if ours is None or not key.startswith(ours):
                return True
        return True

    def _call(self, module: str, method: str, args: Mapping[str, Any], before: str) -> Called:
        api = self._api(module)
        snapshot = copy.deepcopy(api)
        result, raised = _invoke(api, method, args)
        if raised:
            self._apis[module] = snapshot
            return Called(result, changed=False, undo=None, digest_before=before, digest_after=before)
        after = self.digest(module)
        undo = None
        if after != before or _generator(api) != _generator(snapshot):
            undo = f"{self._name}-{len(self._snapshots) + 1}-{module}"
            self._snapshots[undo] = (module, snapshot)
        return Called(result, after != before, undo, before, after)


def _build(name: str, config: Any) -> Any:
    """Return a fresh instance of an API class, loaded with a copy of its scenario."""
    if name not in MODULE_OF:
        raise WorldError(f"unknown class {name!r}; there are {sorted(MODULE_OF)}")
    with contextlib.redirect_stdout(sys.stderr):
        module = importlib.import_module(f"{_PACKAGE}.{MODULE_OF[name]}")
        api = getattr(module, name)()
        if not hasattr(api, "_load_scenario"):
            return api
        try:
            api._load_scenario(copy.deepcopy(config or {}), long_context=False)
        except Exception as error:
            raise WorldError(f"{name} does not take its scenario: {type(error).__name__}: {error}") from error
    return api


def _invoke(api: Any, method: str, args: Mapping[str, Any]) -> tuple[Any, bool]:
    """Return the result as JSON, and whether the method raised; arguments are checked before it is entered."""
    if method.startswith("_"):
        raise Private(f"{method} is private")
    if not inspect.isfunction(getattr(type(api), method, None)):
        raise Unknown(f"{type(api).__name__} has no method {method!r}")
    function = getattr(api, method)
    try:
        inspect.signature(function).bind(**args)
    except TypeError as error:
        raise WorldError(f"{type(api).__name__}.{method}: {error}") from None
    with contextlib.redirect_stdout(sys.stderr):
        try:
            return plain(function(**copy.deepcopy(dict(args)))), False
        except Exception as error:  # noqa: BLE001  the APIs' own bugs are results, not ours to die of
            return {"error": f"{type(error).__name__}: {error}"}, True


def _generator(api: Any) -> Any:
    """Return the state of the API's random generator, None when it has none."""
    generator = getattr(api, "_random", None)
    return None if generator is None else generator.getstate()
