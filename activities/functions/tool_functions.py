"""Arguments and outputs of tool functions: arguments are bound and made canonical, outputs are checked."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from airlock.activities.functions.redaction import masked
from airlock.activities.functions.secrets import Secrets
from airlock.activities.toolbox import Toolbox
from airlock.base.canonical import bounded_json, require_bounded
from airlock.base.errors import SecretError, ToolFailed, plain_message
from airlock.base.text import MAX_OUTPUT_BYTES
from airlock.plans.arguments.canonical_args import Open, bind_canonical, bind_open, filled, validated
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Contract
from airlock.plans.plan import Step
from airlock.plans.refs import REF, SECRET, UNKNOWN, Bound, bind, markers
from airlock.plans.tool import Tool

_RAW_DEPTH = 1_000
"""Levels of a tool's output before its declaration drops fields that it does not name; what is left is bounded again."""


class WrongShape(Exception):
    """The output of a tool does not fit its declaration, is not JSON, or is too large."""


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
    """Return arguments for people: references resolved, secrets masked."""
    return bind(args, outputs, masked)


def bind_real(toolbox: Toolbox, step: Step, outputs: Mapping[str, Any], secrets: Secrets, *, must_know: bool) -> Bound:
    """Return arguments for the tool: references and secrets resolved.

    Args:
        toolbox: The policy and the contracts, which decide which secrets may be resolved.
        step: The step with its unresolved arguments.
        outputs: The outputs of earlier steps by step id.
        secrets: The source of secrets.
        must_know: True if a missing secret is an error; otherwise it counts as unknown.

    Raises:
        RefError: If a reference has no target.
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


class BoundCall:
    """The arguments of one call: bound, canonical, and the same for the approver, the claim and the tool.

    Args:
        toolbox: The policy and the contracts, which decide which secrets may be resolved.
        tool: The tool.
        step: The step with its canonical arguments.
        outputs: The outputs of earlier steps by step id.
        epoch: The rules of the run. Before 1, every value stays as the plan or an output spells it.

    Raises:
        RefError: If a reference has no target.
        NotCanonical: If the tool's model does not accept its own form of them.
    """

    def __init__(self, toolbox: Toolbox, tool: Tool, step: Step, outputs: Mapping[str, Any], epoch: int) -> None:
        self._toolbox = toolbox
        self._step = step
        self._bound = bind_canonical(tool.arguments, step.args, outputs) if epoch else bind_open(step.args, outputs)
        self.shown: dict[str, Any] = filled(self._bound.args, lambda place: masked(place.text))
        self.derived: dict[str, str] = {}
        if epoch:
            self.derived = {marker.path: str(marker.text) for marker in markers(step.args) if marker.kind == REF}

    @property
    def unknown(self) -> tuple[str, ...]:
        """The paths of the values that only the live run will know."""
        return self._bound.unknown

    def real(self, secrets: Secrets, *, must_know: bool) -> Bound:
        """Return the arguments for the tool, with the secrets resolved.

        Args:
            secrets: The source of secrets.
            must_know: True if a missing secret is an error; otherwise it counts as unknown.

        Raises:
            SecretRefused: If a secret may not be used there, or not by this agent.
            SecretError: If a secret is missing and `must_know`.
        """
        self._toolbox.require_grants(self._step)
        absent: set[str] = set()

        def resolve(place: Open) -> str:
            try:
                return secrets.resolve(place.text)
            except SecretError:
                if must_know:
                    raise
                absent.add(place.text)
                return UNKNOWN

        args = filled(self._bound.args, resolve)
        closed = (marker.path for marker in markers(self._step.args) if marker.kind == SECRET and marker.text in absent)
        return Bound(args, (*self._bound.unknown, *closed))


def as_model(tool: Tool, args: Mapping[str, Any], *, complete: bool) -> BaseModel:
    """Return the tool's argument model.

    Args:
        tool: The tool.
        args: Bound arguments.
        complete: True if all arguments must be valid; mocks and compensations also get partly unknown ones.

    Raises:
        ToolFailed: If `complete` and they are invalid; the message names the fields, never their values.
    """
    try:
        return validated(tool.arguments, args)
    except ValidationError as error:
        if complete:
            wrong = "; ".join(
                f"{'.'.join(str(part) for part in item['loc'])}: {plain_message(item)}"
                for item in error.errors(include_url=False, include_input=False, include_context=False)[:5]
            )
            raise ToolFailed(f"the arguments do not fit {tool.name}: {wrong}") from None
        filled: dict[str, Any] = {
            name: UNKNOWN for name, field in tool.arguments.model_fields.items() if field.is_required() and name not in args
        }
        return tool.arguments.model_construct(**(filled | dict(args)))


def checked_output(tool: Tool, output: Any) -> Any:
    """Validate a tool's output and return it as JSON.

    Raises:
        WrongShape: If it does not fit the declaration, is not JSON, or is larger than `MAX_OUTPUT_BYTES`.
    """
    try:
        require_bounded(output, _RAW_DEPTH)
        value = tool.output.dump_python(tool.output.validate_python(output), mode="json")
        size = len(bounded_json(value))
    except ValidationError as error:
        places = ", ".join(".".join(map(str, item["loc"])) or "output" for item in error.errors(include_url=False)[:5])
        raise WrongShape(f"its output does not have the declared shape at: {places}") from None
    except ValueError as error:
        raise WrongShape(f"its output cannot be kept: {error}") from None
    except Exception as error:  # noqa: BLE001  # serializers of foreign types raise any exception
        raise WrongShape(f"its output is not JSON: {type(error).__name__}") from None
    if size > MAX_OUTPUT_BYTES:
        raise WrongShape(f"its output is {size:,} bytes, more than the {MAX_OUTPUT_BYTES:,} allowed; return a reference")
    return value
