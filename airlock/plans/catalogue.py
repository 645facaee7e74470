"""The tools that a worker offers, with the operator's overrides and settings applied and checked."""

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from airlock.base.canonical import digest
from airlock.base.errors import ConfigError, ContractError, Problem
from airlock.base.likely import likely_fix
from airlock.base.wrong_value import TABLE, wrong_value
from airlock.plans.arguments.canonical_args import round_trip_problems
from airlock.plans.contract import PINS, Contract
from airlock.plans.graph import cycles
from airlock.plans.shared import Shared
from airlock.plans.tool import Tool


class Catalogue:
    """The tools by name. Every contract is consistent and every settings section is valid.

    Raises:
        ConfigError: If a tool, an override or a setting is wrong; it names each of them and the fix.
    """

    def __init__(
        self,
        tools: Iterable[Tool],
        overrides: Mapping[str, Mapping[str, Any]] | None = None,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self._overrides = overrides or {}
        problems: list[Problem] = []
        self._tools: dict[str, Tool] = {}
        self._contracts: dict[str, Contract] = {}
        for tool in sorted(tools, key=lambda tool: tool.name):
            if tool.name in self._tools and self._tools[tool.name] is not tool:
                problems.append(_duplicate(tool.name))
            self._tools[tool.name] = tool
        problems += self._check_overrides()
        problems += self._check_sections()
        problems += self._check_contracts() or self._check_prerequisites()
        self._settings, wrong = _validated(self._tools.values(), settings or {})
        if problems or wrong:
            raise ConfigError([*problems, *wrong])

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all tools, sorted."""
        return tuple(self._tools)

    def get(self, name: str) -> Tool | None:
        """Return the tool of that name, or None."""
        return self._tools.get(name)

    def settings_of(self, reader: Tool | Shared[Any]) -> BaseModel | None:
        """Return the validated settings of a tool, or of what tools share; None if it has none."""
        return None if reader.settings_model is None else self._settings[_section(reader.settings_model)]

    def contract(self, name: str, args: Mapping[str, Any] | None = None) -> Contract:
        """Return the contract of a call: as declared, for these arguments, with the operator's overrides."""
        tool = self._tools[name]
        if tool.has_variant:
            return tool.contract(args, self._overrides.get(name))
        # independent of the arguments, and a large plan asks thousands of times
        if name not in self._contracts:
            self._contracts[name] = tool.contract(None, self._overrides.get(name))
        return self._contracts[name]

    def prerequisites(self) -> dict[str, tuple[str, ...]]:
        """Return, for each tool, the tools that must be called before it (`depends_on_tools`), sorted."""
        return {name: self.contract(name).depends_on_tools for name in self._tools}

    def longest_timeout(self) -> float:
        """Return the longest timeout of any tool, in seconds; 0 for an empty catalogue."""
        return max((self.contract(name).timeout for name in self._tools), default=0.0)

    def digest(self) -> str:
        """Return the hash over every contract of the catalogue."""
        return digest({name: self.contract(name).model_dump(mode="json") for name in self._tools})

    def _check_overrides(self) -> list[Problem]:
        return (
            [
                Problem(
                    where=f"contracts.{name}",
                    message="no tool of that name is in the catalogue",
                    fix=likely_fix(
                        name, self._tools, f"name one of: {', '.join(self._tools) or '(the catalogue is empty)'}"
                    ),
                )
                for name in sorted(self._overrides)
                if name not in self._tools
            ]
            + [
                Problem(where=f"contracts.{name}.{key}", message="is computed, and pins what was approved", fix="remove it")
                for name, values in sorted(self._overrides.items())
                for key in sorted(PINS & values.keys())
            ]
            + [
                Problem(
                    where=f"contracts.{name}.{key}",
                    message=f"is {'true or false' if isinstance(values[key], bool) else 'a text'}, not a number",
                    fix="write a number without quotes, or remove it",
                )
                for name, values in sorted(self._overrides.items())
                for key in sorted(_NUMBERS & values.keys())
                if isinstance(values[key], bool) or _holds_number(values[key])
            ]
        )

    @property
    def sections(self) -> tuple[str, ...]:
        """The settings sections that the tools read, sorted."""
        return tuple(self._settings)

    def _check_sections(self) -> list[Problem]:
        sections = [_section(model) for model in _models(self._tools.values())]
        return [
            Problem(where=f"settings.{name}", message="two settings models share this section", fix="rename one")
            for name in sorted(set(sections))
            if sections.count(name) > 1
        ]

    def _check_contracts(self) -> list[Problem]:
        problems: list[Problem] = []
        for name in self._tools:
            try:
                self.contract(name)
                if wrong := round_trip_problems(self._tools[name].arguments):
                    raise ContractError(f"tool {name!r}: {'; '.join(wrong)}")
            except ValidationError as error:
                problems += [
                    Problem(
                        where=".".join(["contracts", name, *(str(part) for part in item["loc"])]),
                        message=wrong_value(item, TABLE)[0],
                        fix=_contract_fix(item),
                    )
                    for item in error.errors(include_url=False)
                ]
            except ContractError as error:
                where = f"contracts.{name}" if name in self._overrides else f"tool {name}"
                problems.append(Problem(where=where, message=str(error), fix="make the contract consistent"))
        return problems

    def _check_prerequisites(self) -> list[Problem]:
        needed = self.prerequisites()
        unknown = [
            Problem(
                where=f"tool {name}",
                message=f"depends_on_tools names {other!r}, which is not in the catalogue",
                fix=likely_fix(other, self._tools, f"name one of: {', '.join(self._tools)}"),
            )
            for name, others in needed.items()
            for other in others
            if other not in self._tools
        ]
        return unknown or [
            Problem(
                where=f"tool {cycle[0]}",
                message=f"depends_on_tools forms a cycle: {' -> '.join(cycle)}",
                fix="remove one of these prerequisites",
            )
            for cycle in cycles(needed)
        ]


_NUMBERS = {
    name for name, info in Contract.model_fields.items() if {int, float} & {info.annotation, *get_args(info.annotation)}
}
"""The fields of a contract that are numbers. The model itself would take `true` for 1, and a text for the number in it."""


def _holds_number(value: object) -> bool:
    return isinstance(value, str) and value.strip().replace(".", "", 1).isdigit()


_RATE = 'write the most calls per second, minute, hour or day in quotes: "5/s", "100/m", "1000/h" or "1/d"'


def _contract_fix(item: Any) -> str:
    name = str(item["loc"][-1]) if item["loc"] else ""
    write = _RATE if name == "rate_limit" else wrong_value(item, TABLE)[1]
    otherwise = f"{write or 'correct it'}, or remove it"
    return likely_fix(name, Contract.model_fields, otherwise) if item["type"] == "extra_forbidden" else otherwise


def _duplicate(name: str) -> Problem:
    return Problem(where=f"tool {name}", message="two modules declare a tool of this name", fix="rename one of them")


def section_names(tools: Iterable[Tool]) -> tuple[str, ...]:
    """Return the settings sections that some tools read, sorted."""
    return tuple(sorted({_section(model) for model in _models(tools)}))


def _models(tools: Iterable[Tool]) -> set[type[BaseModel]]:
    """Return the settings models of tools and of what they share."""
    of_each = [(tool.settings_model, *(wanted.settings_model for wanted in tool.shared)) for tool in tools]
    return {model for models in of_each for model in models if model is not None}


def _section(model: type[BaseModel]) -> str:
    return str(getattr(model, "section", model.__name__.lower()))


def _setting_fix(item: Any, section: str, model: type[BaseModel]) -> str:
    variable = f"AIRLOCK_SETTINGS__{section.upper()}__{'__'.join(str(part).upper() for part in item['loc'])}"
    if item["type"] != "extra_forbidden" or len(item["loc"]) != 1:
        write = wrong_value(item, TABLE)[1]
        return f"{write + '; ' if write else ''}set it in [settings.{section}], or in the environment as {variable}"
    return _unknown_fix(str(item["loc"][0]), section, model)


def _unknown_fix(key: str, section: str, model: type[BaseModel]) -> str:
    close = likely_fix(key, model.model_fields, f"there are: {', '.join(model.model_fields)};")
    variable = f"AIRLOCK_SETTINGS__{section.upper()}__{key.upper()}"
    return f"{close} it stands in [settings.{section}], or in the environment as {variable}"


def _unread(given: Mapping[str, Any], model: type[BaseModel]) -> list[str]:
    """Return the keys that a model would ignore in silence, because its author did not say what to do with them."""
    if model.model_config.get("extra") is not None or any(
        not isinstance(info.validation_alias, str | None) for info in model.model_fields.values()
    ):
        return []
    aliases = {str(name) for info in model.model_fields.values() for name in (info.alias, info.validation_alias) if name}
    return sorted(given.keys() - model.model_fields.keys() - aliases)


def _validated(
    tools: Iterable[Tool], settings: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, BaseModel], list[Problem]]:
    models = {_section(model): model for model in _models(tools)}
    validated: dict[str, BaseModel] = {}
    problems: list[Problem] = []
    for section, model in sorted(models.items()):
        given = settings.get(section, {})
        problems += [
            Problem(where=f"settings.{section}.{key}", message="is unknown here", fix=_unknown_fix(key, section, model))
            for key in _unread(given, model)
        ]
        try:
            validated[section] = model.model_validate(given)
        except ValidationError as error:
            problems += [
                Problem(
                    where=".".join(["settings", section, *(str(part) for part in item["loc"])]),
                    message=wrong_value(item, TABLE)[0],
                    fix=_setting_fix(item, section, model),
                )
                for item in error.errors(include_url=False)
            ]
    return validated, problems
