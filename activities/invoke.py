"""Carry out one function of a tool: bind its arguments, run it within its time, check what it returns."""

import asyncio
import inspect
import threading
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from airlock.activities.redaction import masked
from airlock.activities.secrets import Secrets
from airlock.activities.toolbox import Toolbox
from airlock.base.canonical import bounded_json
from airlock.base.errors import InDoubt, SecretError, ToolFailed
from airlock.base.text import MAX_OUTPUT_BYTES
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Contract
from airlock.plans.plan import Step
from airlock.plans.refs import UNKNOWN, Bound, bind
from airlock.plans.tool import Tool, ToolCall, ToolFunction


class WrongShape(Exception):
    """A tool returned something that is not what it declares, not JSON, or too large."""


def tool_of(catalogue: Catalogue, contract: Contract) -> Tool:
    """Return the tool behind a contract.

    Raises:
        ToolFailed: If this worker does not offer it.
    """
    tool = catalogue.get(contract.tool)
    if tool is None:
        raise ToolFailed(f"this worker's catalogue has no tool {contract.tool!r}; is its airlock.toml the operator's?")
    return tool


def bind_shown(args: Mapping[str, Any], outputs: Mapping[str, Any]) -> Bound:
    """Arguments as a person may see them: references filled in, secrets masked."""
    return bind(args, outputs, masked)


def bind_real(toolbox: Toolbox, step: Step, outputs: Mapping[str, Any], secrets: Secrets, *, must_know: bool) -> Bound:
    """Return the arguments as a tool gets them.

    Args:
        toolbox: The policy and the contracts that say which secrets may be resolved.
        step: The step, with the arguments as the plan has them.
        outputs: By step.
        secrets: Where secrets come from.
        must_know: Whether a secret this worker does not have is an error; otherwise it is not known yet.

    Raises:
        RefError: If a reference finds nothing.
        SecretRefused: If a secret may not be used there, or not by this agent.
        SecretError: If a secret is missing and `must_know`.
    """
    toolbox.require_grants(step)

    def resolve(name: str) -> str:
        try:
            return secrets.resolve(name)
        except SecretError:
            if must_know:
                raise
            return UNKNOWN

    return bind(step.args, outputs, resolve)


def as_model(tool: Tool, args: Mapping[str, Any], *, complete: bool) -> BaseModel:
    """Return the tool's argument model.

    Args:
        tool: The tool.
        args: Bound arguments.
        complete: Whether everything must fit; a mock or a compensation also gets arguments of which parts are unknown.

    Raises:
        ToolFailed: If `complete` and they do not fit; the message names the fields, never their values.
    """
    try:
        return tool.arguments.model_validate(args)
    except ValidationError as error:
        if complete:
            wrong = "; ".join(
                f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}"
                for item in error.errors(include_url=False, include_input=False, include_context=False)[:5]
            )
            raise ToolFailed(f"the arguments do not fit {tool.name}: {wrong}") from None
        filled: dict[str, Any] = {
            name: UNKNOWN for name, field in tool.arguments.model_fields.items() if field.is_required() and name not in args
        }
        return tool.arguments.model_construct(**(filled | dict(args)))


async def run(function: ToolFunction, args: BaseModel, call: ToolCall, seconds: float) -> Any:
    """Run a tool function, in a thread if it is a plain one.

    Raises:
        TimeoutError: If it takes longer than that many seconds; a coroutine is cancelled then.
        StillRunning: If a thread takes longer: it cannot be stopped and goes on, so that its effect is not known yet.
        ToolFailed: If no thread was free in that time: the tool was not called, and will not be.
        InDoubt: If the tool ended with something that is not an ordinary exception, such as SystemExit.
    """
    running: asyncio.Future[Any] | None = None
    turn = _Turn()
    try:
        async with asyncio.timeout(seconds):
            if inspect.iscoroutinefunction(function):
                return await function(args, call)
            running = asyncio.ensure_future(asyncio.to_thread(_in_thread, turn, function, args, call))
            return await asyncio.shield(running)
    except TimeoutError:
        if running is not None and turn.give_up():
            running.add_done_callback(_forget)
            raise ToolFailed(f"no thread was free to call it within {seconds:g} s", retry=True) from None
        if running is not None and not running.done():
            running.add_done_callback(_forget)
            raise StillRunning(f"no answer within {seconds:g} s, and its code goes on running") from None
        raise
    except (asyncio.CancelledError, SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        raise InDoubt(f"the tool ended with {type(error).__name__}") from None


class _Turn:
    """The turn of a call that waits for a thread: it begins or is given up, whichever comes first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = ""

    def begin(self) -> bool:
        """Begin, unless it was given up."""
        return self._take("begun")

    def give_up(self) -> bool:
        """Give up, unless it has begun."""
        return self._take("given up")

    def _take(self, what: str) -> bool:
        with self._lock:
            self._taken = self._taken or what
            return self._taken == what


def _in_thread(turn: _Turn, function: ToolFunction, args: BaseModel, call: ToolCall) -> Any:
    if not turn.begin():
        return None
    try:
        return function(args, call)
    except Exception:
        raise
    except BaseException as error:  # noqa: BLE001  # a SystemExit that reaches the event loop would stop the whole worker
        raise InDoubt(f"the tool ended with {type(error).__name__}") from None


class StillRunning(TimeoutError):
    """The time is over, but the code of the call goes on."""


def _forget(thread: "asyncio.Future[Any]") -> None:
    if not thread.cancelled():
        thread.exception()  # looked at, so that asyncio does not complain about it


def checked_output(tool: Tool, output: Any) -> Any:
    """Return a tool's output as JSON.

    Raises:
        WrongShape: If it is not what the tool declares, not JSON, or larger than `MAX_OUTPUT_BYTES`.
    """
    try:
        value = tool.output.dump_python(tool.output.validate_python(output), mode="json")
        size = len(bounded_json(value))
    except ValidationError as error:
        places = ", ".join(".".join(map(str, item["loc"])) or "output" for item in error.errors(include_url=False)[:5])
        raise WrongShape(f"its output does not have the declared shape at: {places}") from None
    except ValueError as error:
        raise WrongShape(f"its output cannot be kept: {error}") from None
    except Exception as error:  # noqa: BLE001  # serializers of foreign types raise whatever they like
        raise WrongShape(f"its output is not JSON: {type(error).__name__}") from None
    if size > MAX_OUTPUT_BYTES:
        raise WrongShape(f"its output is {size:,} bytes, more than the {MAX_OUTPUT_BYTES:,} allowed; return a reference")
    return value


def describe(error: BaseException, secrets: Secrets) -> str:
    """Return an error as text for the history: bounded by the caller, without secrets."""
    text = str(error) if str(error) else type(error).__name__
    if not isinstance(error, ToolFailed | WrongShape) and str(error):
        text = f"{type(error).__name__}: {text}"
    return str(secrets.redact(text[:MAX_OUTPUT_BYTES]))
