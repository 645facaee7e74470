"""The shape of a tool: a name, an argument model, a contract and up to six functions.

@tool(name="send_email", risk="HIGH", reversibility="irreversible", permissions={"email:send"})
async def send_email(args: SendEmail, call: ToolCall) -> dict: ...      # live

@send_email.dry_run
async def _(args: SendEmail, call: ToolCall) -> Preview: ...            # also .mock, .compensate, .undo_check, .probe
"""

import inspect
import typing
from collections.abc import Callable, Iterable, Mapping
from string import Formatter
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter

from airlock.base.canonical import digest
from airlock.base.errors import ContractError
from airlock.plans.arguments.canonical_args import canonical_names
from airlock.plans.contract import UNDOABLE, Contract, Fidelity, Reversibility, contradictions
from airlock.plans.shared import Shared
from airlock.plans.tool_call import ToolCall

ToolFunction = Callable[[Any, ToolCall], Any]
Decorated = TypeVar("Decorated", bound=ToolFunction)


class Tool:
    """One tool of a catalogue, created by the decorator `tool` and completed by its own decorators."""

    def __init__(
        self,
        live: ToolFunction,
        contract: Contract,
        settings: type[BaseModel] | None,
        output: Any,
        arguments: type[BaseModel],
        *,
        fidelity_declared: bool,
        shared: Iterable[Shared[Any]] = (),
    ) -> None:
        self.name = contract.tool
        self.live = live
        self.settings_model = settings
        self.shared = tuple(shared)
        """The clients and the like that its functions get by `ToolCall.shared`."""
        self.arguments = arguments
        self.output = TypeAdapter[Any](output)
        self.functions: dict[str, ToolFunction] = {}
        self.partial = False
        self.details = ""
        """The words of the system behind it, for models, where they are more than the contract's description."""
        self._declared = contract
        self._fidelity_declared = fidelity_declared
        self._variant: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None

    def mock(self, function: Decorated) -> Decorated:
        """Declare the function that returns a plausible output and touches nothing."""
        return self._declare("mock", function)

    @typing.overload
    def dry_run(self, function: Decorated) -> Decorated: ...

    @typing.overload
    def dry_run(self, *, partial: bool) -> Callable[[Decorated], Decorated]: ...

    def dry_run(self, function: Any = None, *, partial: bool = False) -> Any:
        """Declare the function that checks the target, changes nothing and returns a `Preview`.

        With `partial=True` it is also called while some arguments are not known yet: `call.unknown` names them, and each
        holds the text `UNKNOWN`. Otherwise the preview of such a step says that it is known after live.
        """

        def declare(dry_run: Decorated) -> Decorated:
            self.partial = partial
            return self._declare("dry_run", dry_run)

        return declare if function is None else declare(function)

    def compensate(self, function: Decorated) -> Decorated:
        """Declare the function that undoes the effect, using `call.undo`; it must be safe to repeat."""
        return self._declare("compensate", function)

    def undo_check(self, function: Decorated) -> Decorated:
        """Declare the function that checks whether `compensate` would succeed, changes nothing and returns a `Preview`.

        It gets the same call as compensate, `call.undo` included. It raises `Stale` or `ToolFailed` if the state has changed
        so that the undo would fail. It runs before an approver approves the undo of a plan that has ended.
        """
        return self._declare("undo_check", function)

    def probe(self, function: Decorated) -> Decorated:
        """Declare the function that determines whether a call in doubt took effect; it returns a `Probe`."""
        return self._declare("probe", function)

    def variant(self, function: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Callable[..., Any]:
        """Declare the function that adapts the contract to the arguments, given as in the plan (references unresolved)."""
        self._variant = function
        return function

    def _declare(self, kind: str, function: Decorated) -> Decorated:
        if kind in self.functions:
            raise ContractError(f"tool {self.name!r} has two {kind} functions: remove one")
        _check_signature(self.name, kind, function)
        self.functions[kind] = function
        return function

    @property
    def has_variant(self) -> bool:
        """True if the contract depends on the arguments of the call."""
        return self._variant is not None

    def contract(self, args: Mapping[str, Any] | None = None, overrides: Mapping[str, Any] | None = None) -> Contract:
        """Return the complete contract: as declared, as changed by these arguments, as overridden by the operator.

        Raises:
            ContractError: If the contract contradicts itself.
        """
        values = self._declared.model_dump()
        has_dry_run = "dry_run" in self.functions
        if has_dry_run and not self._fidelity_declared:
            values["fidelity"] = Fidelity.NATIVE
        if self._variant is not None and args is not None:
            values |= self._varied(args)
        own = values["reversibility"]
        values |= overrides or {}
        undoable = values["reversibility"] in UNDOABLE
        if self._variant is not None and own == Reversibility.IRREVERSIBLE and undoable:
            raise ContractError(
                f"tool {self.name!r}: its variant makes such a call irreversible, and no override can make that undoable: "
                "remove reversibility from its [contracts] section"
            )
        # an operator may trust an undo less than its author does; it is then never called
        distrusted = own in UNDOABLE and values["reversibility"] == Reversibility.IRREVERSIBLE
        values |= {
            "has_dry_run": has_dry_run,
            # a tool whose contract depends on its arguments may undo only some of its calls
            "has_compensate": "compensate" in self.functions and not distrusted and (self._variant is None or undoable),
            "has_probe": "probe" in self.functions,
        }
        contract = Contract.model_validate(values)
        if wrong := (*contradictions(contract), *self._unknown_arguments(contract)):
            raise ContractError(f"tool {self.name!r}: {'; '.join(wrong)}")
        return contract

    def _unknown_arguments(self, contract: Contract) -> tuple[str, ...]:
        if self.arguments.model_config.get("extra") == "allow":
            return ()
        names = canonical_names(self.arguments)
        known = dict.fromkeys(names.values())
        unknown = [
            f"{promise} names {path!r}, but the tool takes only: {', '.join(known) or '(no arguments)'}"
            for promise, paths in (("secrets", contract.secrets), ("may_drift", contract.may_drift))
            for path in paths
            if path.split(".")[0] not in known
        ]
        renamed = [
            f"resources names the argument {field!r}, whose name is {names[field]!r}"
            for template in contract.resources
            for _, field, _, _ in Formatter().parse(template)
            if field in names and field not in known
        ]
        return (*unknown, *renamed)

    def _varied(self, args: Mapping[str, Any]) -> Mapping[str, Any]:
        assert self._variant is not None
        try:
            return self._variant(args)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ContractError(
                f"tool {self.name!r}: its variant function does not understand these arguments: {error!r}"
            ) from error


def tool(
    *,
    name: str,
    risk: str,
    reversibility: str,
    arguments: type[BaseModel] | Mapping[str, Any] | None = None,
    settings: type[BaseModel] | None = None,
    fidelity: str | None = None,
    shared: Iterable[Shared[Any]] = (),
    **promises: Any,
) -> Callable[[ToolFunction], Tool]:
    """Create a tool from its live function.

    Args:
        name: The name plans use.
        risk: LOW, MEDIUM or HIGH.
        reversibility: read_only, reversible, compensable or irreversible.
        arguments: The model of its arguments, or their JSON Schema; unless given, the annotation of the first parameter.
        settings: The model of its `[settings.<section>]`; the section is the model's `section` class variable.
        fidelity: The accuracy of the dry run: native (the default with a dry run), probe, simulated or none.
        shared: What its functions share with other calls of the same worker, made with the decorator `shared`.
        promises: Any other field of `airlock.plans.contract.Contract`.

    Raises:
        ContractError: If the function's signature, a promise or the schema cannot be understood.
    """
    stated = _arguments_of(name, arguments) if isinstance(arguments, Mapping) else arguments
    used: tuple[Any, ...] = tuple(shared)
    if wrong := [each for each in used if not isinstance(each, Shared)]:
        raise ContractError(f"tool {name!r}: shared holds {wrong[0]!r}, which was not made with @airlock.shared")

    def decorate(live: ToolFunction) -> Tool:
        annotated, output = _check_signature(name, "live", live)
        made = stated or annotated
        if not issubclass(made, annotated):
            raise ContractError(
                f"tool {name!r}: its live function takes {annotated.__name__}, but `arguments` is another model: annotate "
                "the first parameter with airlock.SchemaArguments"
            )
        try:
            contract = Contract.model_validate(
                {
                    "tool": name,
                    "description": (inspect.getdoc(live) or "").strip().split("\n")[0],
                    "risk": risk,
                    "reversibility": reversibility,
                    "fidelity": fidelity or "none",
                    "arguments_digest": digest(made.model_json_schema()),
                    **promises,
                }
            )
        except ValueError as error:
            raise ContractError(f"tool {name!r}: {error}") from error
        return Tool(live, contract, settings, output, made, fidelity_declared=fidelity is not None, shared=used)

    return decorate


def _arguments_of(name: str, schema: Mapping[str, Any]) -> type[BaseModel]:
    from airlock.plans.arguments.schema_arguments import arguments_of  # few tools need a library of schemas

    try:
        return arguments_of(schema, name)
    except ContractError as error:
        raise ContractError(f"tool {name!r}: its arguments {error}") from error


def _check_signature(name: str, kind: str, function: ToolFunction) -> tuple[type[BaseModel], Any]:
    parameters = list(inspect.signature(function).parameters.values())
    if len(parameters) != 2:
        raise ContractError(f"tool {name!r}: its {kind} function takes (args, call), not {len(parameters)} parameters")
    try:
        hints = typing.get_type_hints(function)
    except NameError as error:
        raise ContractError(f"tool {name!r}: its {kind} function has an annotation that cannot be read: {error}") from error
    arguments = hints.get(parameters[0].name)
    if not (isinstance(arguments, type) and issubclass(arguments, BaseModel)):
        raise ContractError(
            f"tool {name!r}: annotate the first parameter of its {kind} function with a pydantic model, "
            "for example `args: SendEmail`"
        )
    return arguments, hints.get("return", Any)
