"""A tool of the catalogue from its definition and the operator's entry, both checked at start."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from pydantic import ValidationError

from airlock.admission.configuration.mcp_config import McpTool
from airlock.admission.configuration.tool_entries import SYSTEM_NAME, Mapped, SelfPreview
from airlock.base.canonical import digest
from airlock.base.errors import ContractError, Problem
from airlock.base.likely import likely_fix
from airlock.base.text import shorten
from airlock.base.visible import visible
from airlock.base.wrong_value import TABLE, wrong_value
from airlock.plans.arguments.schema_arguments import SchemaArguments, arguments_of
from airlock.plans.contract import Contract, Fidelity, Reversibility, Risk
from airlock.plans.tool import Tool
from airlock.tools.rated.definitions import Definition, pin
from airlock.tools.rated.entry_digest import entry_digest, named_tools
from airlock.tools.rated.judged import Failure
from airlock.tools.rated.mapped_calls import MappedCall, Observed, Probed, Undoing
from airlock.tools.rated.mappings import Expression
from airlock.tools.rated.own_model import class_name, own_model
from airlock.tools.rated.rated_tool import RatedTool
from airlock.tools.rated.system import RatedSystem

_MOST_DETAILS = 4_000
"""Characters of a description that models get."""
_FIDELITY = {"none": Fidelity.NONE, "validate": Fidelity.SIMULATED, "read": Fidelity.NATIVE}
_UNDO_SCOPE = ("args", "before", "output")
_OWN = (
    "tool", "description", "fidelity", "arguments_digest", "definition", "entry",
    "has_dry_run", "has_compensate", "has_probe",
)  # fmt: skip
"""The keys of a contract that follow from the definition and the entry."""


def tool_of(system: RatedSystem, name: str) -> Tool | Problem | None:
    """Return a tool; a problem if its entry cannot be used; None if it has no entry, and its definition cannot be used."""
    has_entry, where = name in system.entries, system.where(name)
    try:
        return _Entry(system, name).made(has_entry=has_entry)
    except ValidationError as error:
        item: Any = error.errors(include_url=False)[0]
        message, fix = wrong_value(item, TABLE)
        key = str(item["loc"][0]) if item["loc"] else ""
        if item["type"] == "extra_forbidden":
            known = (*system.entry_model.model_fields, *(field for field in Contract.model_fields if field not in _OWN))
            fix = likely_fix(key, known, f"there are: {', '.join(known)}")
        return Problem(where=f"{where}.{key}", message=message, fix=fix or "correct it, or remove it")
    except ContractError as error:
        if not has_entry:
            return None
        return Problem(where=where, message=str(error), fix="correct the entry, or remove it")


def tools_of(system: RatedSystem, contracts: Mapping[str, Mapping[str, Any]]) -> tuple[list[Tool], list[Problem]]:
    """Return the tools of a system, and a problem for each entry that cannot be used.

    Args:
        system: The system.
        contracts: The sections `[contracts]`, by tool.
    """
    tools: list[Tool] = []
    problems: list[Problem] = []
    for name in system.definitions:
        made = tool_of(system, name)
        problems += [made] if isinstance(made, Problem) else []
        tools += [made] if isinstance(made, Tool) else []
        problems += _otherwise_rated(system, name, contracts.get(f"{system.name}.{name}", {}))
    problems += [_no_such_tool(system, name) for name in sorted(system.entries.keys() - system.definitions.keys())]
    return tools, problems


def wrong_name(section: str, name: str) -> Problem | None:
    """Return a problem if a system cannot have this name."""
    if SYSTEM_NAME.fullmatch(name):
        return None
    fix = f"use lower-case letters, digits, _ and -, such as [{section}.files]"
    return Problem(where=f"{section}.{name}", message="is no name of a server", fix=fix)


def _otherwise_rated(system: RatedSystem, tool: str, contract: Mapping[str, Any]) -> list[Problem]:
    """Return a problem if a section of `[contracts]` and the entry disagree on whether a tool only reads.

    The entry decides which calls are made before an approval: the section would change the words, and not the deeds.
    """
    chosen, rated = contract.get("reversibility"), system.entry(tool).promises.get("reversibility")
    if chosen is None or (chosen == Reversibility.READ_ONLY) == (rated == Reversibility.READ_ONLY):
        return []
    key = tool if re.fullmatch(r"[A-Za-z0-9_-]+", tool) else f'"{tool}"'
    return [
        Problem(
            where=f"contracts.{system.name}.{tool}.reversibility",
            message="the entry of the tool says otherwise, and decides whether it is called before an approval",
            fix=f"remove it here, and write it in [{system.where(key)}]",
        )
    ]


def _no_such_tool(system: RatedSystem, tool: str) -> Problem:
    fix = likely_fix(tool, system.definitions, f"remove it; the server has: {', '.join(system.definitions)}")
    return Problem(where=system.where(tool), message="the server has no tool of this name", fix=fix)


class _Entry:
    """The definition of one tool, and the operator's word about it."""

    def __init__(self, system: RatedSystem, name: str) -> None:
        self.system, self.definitions = system, system.definitions
        self.name, self.entry = name, system.entry(name)
        self.model = own_model(name, self.definitions[name].input_schema)
        reversibility = self.entry.promises.get("reversibility", Reversibility.IRREVERSIBLE)
        self.writes = reversibility != Reversibility.READ_ONLY

    def made(self, *, has_entry: bool) -> Tool:
        """Return the tool.

        Raises:
            ContractError: If the entry cannot be understood.
            ValidationError: If a promise has a wrong value.
        """
        functions = self._functions()
        dry_run = self._dry_run(has_entry)
        tool = Tool(
            functions.live,
            self._contract(dry_run),
            self.system.settings,
            self.system.output(self.definitions[self.name]),
            self.model,
            fidelity_declared=True,
            shared=self.system.shared,
        )
        tool.mock(functions.mock)
        if dry_run != "none":
            tool.dry_run(functions.dry_run)
        if self.entry.compensate:
            tool.compensate(functions.compensate)
            tool.undo_check(functions.undo_check)
        if self.entry.probe:
            tool.probe(functions.probe)
        tool.contract()
        tool.details = _details(self.definitions[self.name])
        return tool

    def _contract(self, dry_run: str) -> Contract:
        definition = self.definitions[self.name]
        if own := [key for key in self.entry.promises if key in _OWN]:
            raise ContractError(f"{own[0]} follows from what the server says and the rest of the entry: remove it")
        needed = self.entry.promises.get("needs_secrets", ())
        return Contract.model_validate(
            {
                "risk": Risk.HIGH,
                "reversibility": Reversibility.IRREVERSIBLE,
                **self.entry.promises,
                "tool": f"{self.system.name}.{self.name}",
                "description": _description(definition),
                "fidelity": _FIDELITY.get(dry_run, Fidelity.PROBE),
                "arguments_digest": digest(self.model.model_json_schema()),
                "definition": pin(self.definitions, self.name),
                "entry": entry_digest(self.system, self.entry),
                "needs_secrets": (*needed, *self.system.secrets),
            }
        )

    def _functions(self) -> RatedTool:
        entry = self.entry
        errors = entry.errors if isinstance(entry, McpTool) else None
        return RatedTool(
            system=self.system.shown,
            server=self.system.name,
            name=self.name,
            definitions=self.definitions,
            reach=self.system.reach,
            open_answer=self.system.open_answer(self.definitions[self.name]),
            sent=partial(self.system.sent, self.definitions[self.name]),
            writes=self.writes,
            errors_have_no_effect=self.system.errors_have_no_effect if errors is None else errors == "no_effect",
            mock_answer=None if entry.mock is None else self._expression(entry.mock, ("args",)),
            dry=self._dry(),
            observed=self._observed(),
            undo=self._undo(),
            probed=self._probed(),
            failures=self._failures(),
        )

    def _dry_run(self, has_entry: bool) -> str:
        chosen = self.entry.dry_run
        if chosen is None:
            chosen = "read" if not self.writes else "validate" if has_entry else "none"
        if chosen == "read" and self.writes:
            raise ContractError('dry_run = "read" calls the tool before it is approved: only a read_only tool may have it')
        if not self.system.rehearses and (not isinstance(chosen, str) or chosen != "none"):
            if self.entry.dry_run is not None and self.entry.dry_run != "none":
                raise ContractError("a dry run asks the server, but roles keep rehearsing workers from it")
            return "none"
        return chosen if isinstance(chosen, str) else "other"

    def _dry(self) -> MappedCall | SelfPreview | None:
        chosen = self.entry.dry_run
        if isinstance(chosen, SelfPreview):
            if chosen.argument not in self._known(self.name, (chosen.argument,)):
                raise ContractError(f"dry_run.argument: the tool has no argument {chosen.argument!r}")
            return chosen
        if isinstance(chosen, Mapped):
            return self._mapped(chosen, ("args",), "dry_run")
        if chosen == "read" or (chosen is None and not self.writes):
            return MappedCall(self.name, self.model, Expression("args"), self.system.levels)
        return None

    def _observed(self) -> Observed | None:
        chosen = self.entry.observe
        if chosen is None:
            return None
        mapped = self._mapped(chosen, ("args",), "observe")
        return Observed(**vars(mapped), state=Expression(chosen.state), absent=chosen.absent)

    def _undo(self) -> tuple[Undoing, ...]:
        return tuple(
            Undoing(
                **vars(self._mapped(each, _UNDO_SCOPE, "compensate")),
                when=None if each.when is None else self._expression(each.when, ("args", "before")),
            )
            for each in self.entry.compensate
        )

    def _probed(self) -> Probed | None:
        chosen = self.entry.probe
        if chosen is None:
            return None
        mapped = self._mapped(chosen, _UNDO_SCOPE, "probe")
        return Probed(**vars(mapped), happened=self._expression(chosen.happened, (*_UNDO_SCOPE, "answer")))

    def _failures(self) -> dict[str, Failure]:
        made: dict[str, Failure] = {}
        for tool in (self.name, *named_tools(self.entry)):
            if chosen := self.system.entry(tool).failed:
                when = Expression(chosen.when, ("args", "answer"))
                made[tool] = Failure(when, no_effect=chosen.no_effect)
        if self.entry.failed is not None:
            self._expression(self.entry.failed.when, ("args", "answer"))
        return made

    def _mapped(self, chosen: Mapped, scope: tuple[str, ...], key: str) -> MappedCall:
        if chosen.tool not in self.definitions:
            fix = likely_fix(chosen.tool, self.definitions, f"it has: {', '.join(self.definitions)}")
            raise ContractError(f"{key}.tool: the server has no tool {chosen.tool!r}; {fix}")
        if key != "compensate":
            self._require_reading(chosen.tool, key)
        args = self._expression(chosen.args, scope)
        model = self._model(chosen.tool)
        made = args.keys()
        if made is not None:
            if unknown := sorted(set(made) - set(self._known(chosen.tool, made))):
                raise ContractError(f"{key}.args: {chosen.tool} takes no argument {unknown[0]!r}")
            required = self.definitions[chosen.tool].input_schema.get("required", [])
            if missing := [each for each in required if each not in made] if isinstance(required, list) else []:
                raise ContractError(f"{key}.args: {chosen.tool} needs {', '.join(map(str, missing))}")
        return MappedCall(chosen.tool, model, args, self.system.levels)

    def _require_reading(self, tool: str, key: str) -> None:
        other = self.system.entries.get(tool)
        if other is None or other.promises.get("reversibility") != Reversibility.READ_ONLY:
            raise ContractError(
                f'{key}.tool: {tool} is called before any approval: give it an entry with reversibility = "read_only"'
            )

    def _expression(self, text: str, scope: tuple[str, ...]) -> Expression:
        made = Expression(text, scope)
        if unknown := sorted(set(made.fields("args")) - set(self._known(self.name, made.fields("args")))):
            raise ContractError(f"{text!r} reads args.{unknown[0]}, but the tool takes no such argument")
        if "before" in scope and made.reads("before") and self.entry.observe is None:
            raise ContractError(f"{text!r} reads before, but the entry has no observe")
        return made

    def _known(self, tool: str, asked: tuple[str, ...]) -> tuple[str, ...]:
        schema: Mapping[str, Any] = self.definitions[tool].input_schema
        properties = tuple(schema.get("properties", {}))
        return properties if schema.get("additionalProperties") is False or properties else asked

    def _model(self, tool: str) -> type[SchemaArguments]:
        try:
            return arguments_of(self.definitions[tool].input_schema, class_name(tool), foreign=True)
        except ContractError as error:
            raise ContractError(f"the arguments of {tool} {error}") from error


def _description(definition: Definition) -> str:
    said = (definition.title or definition.description or "").strip().split("\n")[0]
    return visible(shorten(said, 200))


def _details(definition: Definition) -> str:
    """Return the description of the system where it is more than the contract holds."""
    lines = (definition.description or "")[:_MOST_DETAILS].strip().splitlines()
    said = "\n".join(visible(" ".join(line.split())) for line in lines)
    return "" if said == _description(definition) else said
