"""From the modules an operator names to a catalogue, or to errors that say what to do."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airlock.admission.configuration.config import parse_config
from airlock.base.errors import ConfigError
from airlock.tools.loader import load_catalogue, load_configured
from airlock.tools.operator_file import read_config

BUILT_IN = (
    "database_query", "database_write", "file_delete", "file_write", "ghl_create_contact", "ghl_search",
    "ghl_update_contact", "goal_query", "http_request", "math_compute", "memory_search", "send_email", "text_extract",
)  # fmt: skip

OWN = '''
from pydantic import BaseModel
from airlock import ToolCall, tool
from airlock.tools import math_compute

class Args(BaseModel):
    name: str

@tool(name="greet", risk="LOW", reversibility="read_only")
def greet(args: Args, call: ToolCall) -> dict:
    """Say hello."""
    return {"text": args.name}

again = greet
'''


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield an operator's folder, as the worker's working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def problems(text: str) -> list[tuple[str, str, str]]:
    with pytest.raises(ConfigError) as refusal:
        load_catalogue(parse_config(text))
    return [(problem.where, problem.message, problem.fix) for problem in refusal.value.problems]


def test_modules_beside_the_file_are_found_from_any_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "greetings_beside.py").write_text(OWN)
    config = here / "airlock.toml"
    config.write_text('[catalogue]\nmodules = ["greetings_beside"]\n')
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    with pytest.raises(ConfigError, match="no module"):
        load_configured(lambda: read_config(config))
    _, catalogue = load_configured(lambda: read_config(config), config)
    assert "greet" in catalogue.names


def test_an_empty_configuration_offers_the_built_in_tools() -> None:
    catalogue = load_catalogue(parse_config(""))
    assert catalogue.names == BUILT_IN
    for name in BUILT_IN:
        tool = catalogue.get(name)
        assert tool is not None
        assert {"mock", "dry_run"} <= set(tool.functions)
        contract = catalogue.contract(name)
        assert contract.description.endswith(".")
        assert contract.undoable == ("compensate" in tool.functions)
        for field, info in tool.arguments.model_fields.items():
            assert info.description, f"{name}.{field} has no description"


def test_modules_in_the_working_directory_each_tool_once(here: Path) -> None:
    (here / "my_tools.py").write_text(OWN)
    (here / "pack").mkdir()
    (here / "pack" / "__init__.py").write_text("from my_tools import greet")
    config = parse_config('[catalogue]\nmodules = ["my_tools", "tools", "pack"]\n[contracts.greet]\ntimeout = 3')
    catalogue = load_catalogue(config)
    assert set(catalogue.names) == {*BUILT_IN, "greet"}
    assert catalogue.contract("greet").timeout == 3


def test_every_module_that_cannot_be_used_is_named_with_its_fix(here: Path) -> None:
    (here / "empty_tools.py").write_text("x = 1")
    (here / "broken_tools.py").write_text("1 / 0")
    (here / "leaving_tools.py").write_text("raise SystemExit(3)")
    (here / "needy_tools.py").write_text("import no_such_library")
    bad = OWN.replace('"read_only"', '"reversible"').replace("again = greet", "greet.contract()")
    (here / "wrong_tools.py").write_text(bad)
    names = ["nowhere", "nowhere.at.all", "empty_tools", "broken_tools", "leaving_tools", "needy_tools", "wrong_tools"]
    found = problems(f"[catalogue]\nmodules = {names!r}".replace("'", '"'))
    assert [where for where, _, _ in found] == ["catalogue.modules"] * len(names)
    messages = [message for _, message, _ in found]
    assert "no module 'nowhere'" in messages[0]
    assert "no module 'nowhere.at.all'" in messages[1]
    assert "'empty_tools' holds no tool" in messages[2]
    assert "'broken_tools' cannot be imported: ZeroDivisionError: division by zero" in messages[3]
    assert "'leaving_tools' cannot be imported: SystemExit" in messages[4]
    assert "'needy_tools' cannot be imported: ModuleNotFoundError: No module named 'no_such_library'" in messages[5]
    assert "'wrong_tools' cannot be imported: ContractError: tool 'greet': reversibility 'reversible' needs" in messages[6]
    assert all(fix for _, _, fix in found)


def test_contradictions_overrides_and_settings_are_the_catalogue_s_to_refuse(here: Path) -> None:
    (here / "odd_tools.py").write_text(OWN.replace('"read_only"', '"reversible"'))
    found = problems('[catalogue]\nmodules = ["odd_tools"]')
    assert [where for where, _, _ in found] == ["tool greet"]
    found = problems('[settings.http]\nallow_host = ["x"]\n[contracts.nope]\nrisk = "LOW"')
    assert [where for where, _, _ in found] == ["contracts.nope", "settings.http.allow_host"]


def test_settings_from_the_environment_are_converted() -> None:
    environment = {
        "AIRLOCK_SETTINGS__HTTP__ALLOW_HOSTS": "a.test, b.test:8080",
        "AIRLOCK_SETTINGS__HTTP__TIMEOUT": "2.5",
        "AIRLOCK_SETTINGS__SMTP__STARTTLS": "false",
        "AIRLOCK_SETTINGS__SMTP__PORT": "2525",
        "AIRLOCK_SETTINGS__DATABASE__TABLES": "",
    }
    catalogue = load_catalogue(parse_config("", environment))
    settings = {name: catalogue.settings_of(catalogue.get(name)) for name in BUILT_IN}  # type: ignore[arg-type]
    assert settings["http_request"].allow_hosts == ("a.test", "b.test:8080")  # type: ignore[union-attr]
    assert settings["http_request"].timeout == 2.5  # type: ignore[union-attr]
    assert settings["send_email"].starttls is False  # type: ignore[union-attr]
    assert settings["send_email"].port == 2525  # type: ignore[union-attr]
    assert settings["database_write"].tables == ()  # type: ignore[union-attr]


LISTED = """
from pydantic import BaseModel
from airlock import ToolCall, tool

class Args(BaseModel):
    city: str

def made(name):
    def live(args: Args, call: ToolCall) -> str:
        "Look it up."
        return args.city
    return tool(name=name, risk="LOW", reversibility="read_only")(live)

"""


def test_a_module_offers_a_list_of_tools(here: Path) -> None:
    (here / "listed_tools.py").write_text(LISTED + 'TOOLS = [made(f"look_{n}") for n in range(74)]\nlook_0 = TOOLS[0]')
    catalogue = load_catalogue(parse_config('[catalogue]\nmodules = ["listed_tools"]'))
    assert set(catalogue.names) == {f"look_{n}" for n in range(74)}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('TOOLS = [made("a"), made("b"), made("a")]', "TOOLS[2] is a second tool of the name 'a'"),
        ('TOOLS = [made("a"), "b"]', "TOOLS[1] is no tool, it is of type str"),
        ('TOOLS = {"a": made("a")}', "TOOLS must be a list of tools, it is of type dict"),
        ("TOOLS = made", "TOOLS must be a list of tools, it is of type function"),
    ],
)
def test_a_list_that_is_none_is_told_with_its_place(here: Path, line: str, words: str) -> None:
    (here / "wrongly_listed.py").write_text(f"{LISTED}{line}")
    ((where, message, fix),) = problems('[catalogue]\nmodules = ["wrongly_listed"]')
    assert (where, message) == ("catalogue.modules", f"module 'wrongly_listed': {words}")
    assert fix
