"""The reference of airlock.toml has every key of every section, with its default, its unit and its range."""

import re
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from annotated_types import Ge, Gt, Le, Lt, MaxLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from airlock.admission.configuration.config import CatalogueConfig, Config, KeysConfig, parse_config
from airlock.admission.configuration.console_config import ConsoleConfig, OidcConfig
from airlock.admission.configuration.mcp_config import McpServer, McpTool
from airlock.admission.configuration.notify_config import AlertKind, Digest, Escalation, QuietHours, Receiver
from airlock.admission.configuration.openapi_config import OpenApiService
from airlock.admission.configuration.tool_entries import Compensating, Failing, Observing, Probing, SelfPreview, ToolEntry
from airlock.admission.decision_rules import DecisionRule, DecisionRules
from airlock.admission.policy import AgentPolicy, Budget, Policy, WindowBudget
from airlock.admission.rules.rule import Rule
from airlock.plans.arguments.canonical_field import key_of
from airlock.signing.passkey import Passkey
from airlock.tools.loader import load_catalogue

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "reference" / "airlock-toml.md").read_text()
SECTIONS: dict[str, type[BaseModel]] = {
    "[catalogue]": CatalogueConfig,
    "[keys]": KeysConfig,
    "[policy]": Policy,
    "[policy.agents.<agent>]": AgentPolicy,
    "[policy.agents.<agent>.budget]": WindowBudget,
    "[policy.budget]": Budget,
    "[policy.decisions.<decision>]": DecisionRules,
    "[policy.decisions.<decision>.by_risk.<risk>]": DecisionRule,
    "[[policy.passkeys]]": Passkey,
    "[[policy.rule]]": Rule,
    "[console]": ConsoleConfig,
    "[console.oidc]": OidcConfig,
    "[mcp.<server>]": McpServer,
    "[mcp.<server>.tools.<tool>]": McpTool,
    "[openapi.<service>]": OpenApiService,
    "[openapi.<service>.tools.<operation>]": ToolEntry,
    "[notify.<receiver>]": Receiver,
}
SECTIONS |= {
    f"[settings.{model.section}]": model
    for tool in map(load_catalogue(parse_config("")).get, load_catalogue(parse_config("")).names)
    if tool is not None and (model := tool.settings_model) is not None
}
INLINE: dict[str, type[BaseModel]] = {
    "quiet": QuietHours, "digest": Digest, "escalate": Escalation, "observe": Observing, "compensate": Compensating,
    "probe": Probing, "{ argument, value }": SelfPreview, "failed": Failing,
}  # fmt: skip
"""The tables that are written in one line."""


def rows(section: str) -> dict[str, list[str]]:
    """Return the cells of each row of a section, by its key."""
    _, _, rest = PAGE.partition(f"# `{section}`\n")
    assert rest, f"{section} has no heading"
    body = re.split(r"^##+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    found = [re.split(r" \| ", line.strip("| ")) for line in body.splitlines() if line.startswith("| `")]
    return {cells[0].strip("`"): cells[1:] for cells in found}


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {key_of(name, info): info for name, info in model.model_fields.items()}


@pytest.mark.parametrize("section", SECTIONS)
def test_each_section_has_each_of_its_keys(section: str) -> None:
    assert set(rows(section)) == set(fields_of(SECTIONS[section]))
    assert all(len(cells) == 3 and all(cells) for cells in rows(section).values())


def test_each_section_of_the_file_is_there() -> None:
    for name in Config.model_fields:
        assert re.search(rf"^## `\[{name}[\].]", PAGE, re.MULTILINE), name


KEYS = [(section, key) for section, model in SECTIONS.items() for key in fields_of(model)]


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_each_default_is_the_documented_one(section: str, key: str) -> None:
    info, said = fields_of(SECTIONS[section])[key], rows(section)[key][0]
    if info.is_required():
        assert said == "required"
        return
    default = _plain(info.get_default(call_default_factory=True))
    if default is None:
        assert said == "none"
    elif said == "all":
        assert default == [kind.value for kind in AlertKind]
    else:
        assert tomllib.loads(f"value = {said.strip('`')}")["value"] == default


def _plain(value: Any) -> Any:
    """Return a default as TOML reads it."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, tuple):
        return [str(each) for each in value]
    return str(value) if isinstance(value, str) else value


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_each_bound_is_the_documented_one(section: str, key: str) -> None:
    info, (_, unit, _) = fields_of(SECTIONS[section])[key], rows(section)[key]
    numbers = {float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", unit)}
    for bound in info.metadata:
        for kind, name in ((Ge, "ge"), (Gt, "gt"), (Le, "le"), (Lt, "lt"), (MaxLen, "max_length")):
            if isinstance(bound, kind):
                assert float(getattr(bound, name)) in numbers, (unit, bound)


@pytest.mark.parametrize("name", INLINE)
def test_each_key_of_a_table_in_one_line_is_named(name: str) -> None:
    lines = [line for line in PAGE.splitlines() if name in line]
    assert lines
    for key in fields_of(INLINE[name]):
        assert any(re.search(rf"\b{key}\b", line) for line in lines), key


def test_each_choice_of_a_key_is_named() -> None:
    for section, key in KEYS:
        unit = rows(section)[key][1]
        for choice in _choices(fields_of(SECTIONS[section])[key].annotation):
            assert f"`{choice}`" in unit, (section, key)


def _choices(annotation: Any) -> list[str]:
    """Return the texts that an enum or a literal allows, wherever it stands in an annotation."""
    if isinstance(annotation, type) and hasattr(annotation, "__members__"):
        return [str(member.value) for member in annotation]  # type: ignore[attr-defined]
    inside = get_args(annotation)
    if inside and all(isinstance(each, str) for each in inside):
        return list(inside)
    return [choice for each in inside for choice in _choices(each)]
