"""A tool of the catalogue from its definition and the operator's entry, both checked at start."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import ValidationError, WithJsonSchema

from airlock.admission.mcp_config import Mapped, McpServer, McpTool, SelfPreview
from airlock.base.canonical import digest
from airlock.base.errors import ContractError, Problem
from airlock.base.likely import likely_fix
from airlock.base.text import shorten
from airlock.base.visible import visible
from airlock.base.wrong_value import TABLE, wrong_value
from airlock.plans.contract import Contract, Fidelity, Reversibility, Risk
from airlock.plans.schema_arguments import SchemaArguments, arguments_of
from airlock.plans.shared import Shared
from airlock.plans.tool import Tool
from airlock.tools.mcp.answers import McpAnswer
from airlock.tools.mcp.connection import Connection
from airlock.tools.mcp.definitions import Definitions, pin
from airlock.tools.mcp.mapped_calls import MappedCall, Observed, Probed, Undoing
from airlock.tools.mcp.mappings import Expression
from airlock.tools.mcp.output_schema import without_refs
from airlock.tools.mcp.server_tool import ServerTool

_NAME = re.compile(r"[A-Za-z0-9_./-]{1,128}")
_FIDELITY = {"none": Fidelity.NONE, "validate": Fidelity.SIMULATED, "read": Fidelity.NATIVE}
_UNDO_SCOPE = ("args", "before", "output")
_OWN = ("tool", "description", "fidelity", "arguments_digest", "definition", "has_dry_run", "has_compensate", "has_probe")
"""The keys of a contract that follow from the definition and the entry."""


def tool_of(
    server: str, configured: McpServer, definitions: Definitions, name: str, connection: Shared[Connection]
) -> Tool | Problem | None:
    """Return a tool; a problem if its entry cannot be used; None if it has no entry, and its definition cannot be used.

    Args:
        server: The name of the server.
        configured: Its section.
        definitions: The definitions of its tools.
        name: The name of the tool.
        connection: What its calls share.
    """
    entry = configured.tools.get(name)
    where = f"mcp.{server}.tools.{name}"
    try:
        return _Entry(server, configured, definitions, name, entry or McpTool()).made(
            connection, has_entry=entry is not None
        )
    except ValidationError as error:
        item: Any = error.errors(include_url=False)[0]
        message, fix = wrong_value(item, TABLE)
        key = str(item["loc"][0]) if item["loc"] else ""
        if item["type"] == "extra_forbidden":
            known = (*McpTool.model_fields, *(field for field in Contract.model_fields if field not in _OWN))
            fix = likely_fix(key, known, f"there are: {', '.join(known)}")
        return Problem(where=f"{where}.{key}", message=message, fix=fix or "correct it, or remove it")
    except ContractError as error:
        if entry is None:
            return None
        return Problem(where=where, message=str(error), fix="correct the entry, or remove it")


def unusable(name: str, schema: Mapping[str, Any]) -> str:
    """Return why a tool cannot be offered, whatever its entry says; empty if it can."""
    try:
        _own_model(name, schema)
    except ContractError as error:
        return str(error)
    return ""


def _own_model(name: str, schema: Mapping[str, Any]) -> type[SchemaArguments]:
    if not _NAME.fullmatch(name):
        raise ContractError(f"its name {visible(name)!r} has other characters than letters, digits, _ . / and -")
    try:
        return arguments_of(schema, _class_name(name))
    except ContractError as error:
        raise ContractError(f"its arguments cannot be checked: {error}") from error


class _Entry:
    """The definition of one tool, and the operator's word about it."""

    def __init__(self, server: str, configured: McpServer, definitions: Definitions, name: str, entry: McpTool) -> None:
        self.server, self.configured, self.definitions = server, configured, definitions
        self.name, self.entry = name, entry
        self.model = _own_model(name, definitions[name].input_schema)
        reversibility = entry.promises.get("reversibility", Reversibility.IRREVERSIBLE)
        self.writes = reversibility != Reversibility.READ_ONLY

    def made(self, connection: Shared[Connection], *, has_entry: bool) -> Tool:
        """Return the tool.

        Raises:
            ContractError: If the entry cannot be understood.
            ValidationError: If a promise has a wrong value.
        """
        functions = self._functions(connection)
        dry_run = self._dry_run(has_entry)
        tool = Tool(
            functions.live, self._contract(dry_run), None, self._output(), self.model, fidelity_declared=True,
            shared=(connection,),
        )  # fmt: skip
        tool.mock(functions.mock)
        if dry_run != "none":
            tool.dry_run(functions.dry_run)
        if self.entry.compensate:
            tool.compensate(functions.compensate)
            tool.undo_check(functions.undo_check)
        if self.entry.probe:
            tool.probe(functions.probe)
        tool.contract()
        return tool

    def _contract(self, dry_run: str) -> Contract:
        definition = self.definitions[self.name]
        if own := [key for key in self.entry.promises if key in _OWN]:
            raise ContractError(f"{own[0]} follows from what the server says and the rest of the entry: remove it")
        said = (definition.title or definition.description or "").strip().split("\n")[0]
        needed = self.entry.promises.get("needs_secrets", ())
        return Contract.model_validate(
            {
                "risk": Risk.HIGH,
                "reversibility": Reversibility.IRREVERSIBLE,
                **self.entry.promises,
                "tool": f"{self.server}.{self.name}",
                "description": visible(shorten(said, 200)),
                "fidelity": _FIDELITY.get(dry_run, Fidelity.PROBE),
                "arguments_digest": digest(self.model.model_json_schema()),
                "definition": pin(self.definitions, self.name),
                "needs_secrets": (*needed, *self.configured.secrets),
            }
        )

    def _functions(self, connection: Shared[Connection]) -> ServerTool:
        entry = self.entry
        return ServerTool(
            server=self.server,
            name=self.name,
            definitions=self.definitions,
            connection=connection,
            writes=self.writes,
            errors_have_no_effect=(entry.errors or self.configured.errors) == "no_effect",
            mock_answer=None if entry.mock is None else self._expression(entry.mock, ("args",)),
            dry=self._dry(),
            observed=self._observed(),
            undo=self._undo(),
            probed=self._probed(),
        )

    def _dry_run(self, has_entry: bool) -> str:
        chosen = self.entry.dry_run
        if chosen is None:
            chosen = "read" if not self.writes else "validate" if has_entry else "none"
        if chosen == "read" and self.writes:
            raise ContractError('dry_run = "read" calls the tool before it is approved: only a read_only tool may have it')
        if "rehearse" not in self.configured.roles and (not isinstance(chosen, str) or chosen != "none"):
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
            return MappedCall(self.name, self.model, Expression("args"), self._declared(self.name))
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
        return MappedCall(chosen.tool, model, args, self._declared(chosen.tool))

    def _require_reading(self, tool: str, key: str) -> None:
        other = self.configured.tools.get(tool)
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

    def _declared(self, tool: str) -> bool:
        return self.definitions[tool].output_schema is not None

    def _output(self) -> Any:
        schema = self.definitions[self.name].output_schema
        return McpAnswer if schema is None else Annotated[Any, WithJsonSchema(without_refs(schema))]

    def _model(self, tool: str) -> type[SchemaArguments]:
        try:
            return arguments_of(self.definitions[tool].input_schema, _class_name(tool))
        except ContractError as error:
            raise ContractError(f"the arguments of {tool} {error}") from error


def _class_name(tool: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", tool)) or "Arguments"
