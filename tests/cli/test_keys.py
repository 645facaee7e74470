"""`airlock keys`, the files it writes, and what a worker says of its keys at its start."""

import json
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from airlock.admission.configuration.config import parse_config
from airlock.base.errors import ConfigError
from airlock.base.keyring import Channel, Keyring
from airlock.cli import keys as keys_module
from airlock.cli.app import app
from airlock.temporal.keyring import ensure_keys, find_keyring, keys_file, read_keyring
from airlock.worker.keys import described, require_usable, unprotected


def invoke(*arguments: str, code: int = 0) -> Any:
    done = CliRunner().invoke(app, ["keys", *arguments])
    assert done.exit_code == code, done.output
    return done


def written(folder: Path, *options: str) -> Path:
    invoke("new", "--folder", str(folder), *options)
    return folder / "keys"


def secrets_of(path: Path) -> set[bytes]:
    return {key.secret for key in read_keyring(path).keys}


def test_a_file_for_each_role_comes_out_of_one_set_and_is_for_its_owner_alone(tmp_path):
    roles = ("all", "orchestrate", "rehearse", "live")
    done = invoke("new", "--folder", str(tmp_path), *(f"--role={role}" for role in roles))
    every = {key.channel: key.id for key in read_keyring(tmp_path / "keys").keys}
    assert set(every) == set(Channel)
    for role, channels in {
        "orchestrate": {Channel.RUN, Channel.REHEARSE}, "rehearse": {Channel.REHEARSE}, "live": {Channel.RUN, Channel.LIVE},
    }.items():  # fmt: skip
        path = tmp_path / f"keys-{role}"
        assert {key.channel: key.id for key in read_keyring(path).keys} == {channel: every[channel] for channel in channels}
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for path in tmp_path.iterdir():
        for line in path.read_text(encoding="utf-8").splitlines()[1:]:
            assert line.split()[1] not in done.output or line.startswith("demanded")


def test_new_keys_never_replace_old_ones(tmp_path):
    before = written(tmp_path).read_bytes()
    refused = invoke("new", "--folder", str(tmp_path), code=1).output
    assert f"exists already: rotate it with `airlock keys rotate {tmp_path}/keys`" in refused
    assert (tmp_path / "keys").read_bytes() == before


NOON = datetime(2028, 12, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(("when", "expected"), [("never", None), ("2028-12-01T12:00:00Z", NOON)])
def test_proofs_are_demanded_from_the_moment_that_was_said(tmp_path, when, expected):
    assert read_keyring(written(tmp_path, "--demanded", when)).demanded == expected


def test_a_moment_that_is_none_is_refused(tmp_path):
    assert "write now, never" in invoke("new", "--folder", str(tmp_path), "--demanded", "soon", code=1).output
    assert list(tmp_path.iterdir()) == []


def test_show_names_ids_and_no_secret(tmp_path):
    path = written(tmp_path)
    document = json.loads(invoke("show", str(path), "--json").stdout)
    assert [key["id"] for key in document["keys"]] == [key.id for key in read_keyring(path).keys]
    shown = invoke("show", str(path)).stdout + json.dumps(document)
    for line in path.read_text(encoding="utf-8").splitlines()[1:4]:
        assert line.split()[1] not in shown


def test_a_rotation_in_two_steps_first_verifies_then_signs(tmp_path):
    invoke("new", "--folder", str(tmp_path), "--role=all", "--role=live")
    files = [tmp_path / "keys", tmp_path / "keys-live"]
    before = {channel: read_keyring(files[0]).of(channel) for channel in Channel}
    added = invoke("rotate", "--add", *map(str, files)).output
    assert f"Then: airlock keys rotate --sign {files[0]} {files[1]}\n" in added, "as it can be pasted"
    for channel in Channel:
        old, fresh = read_keyring(files[0]).of(channel)
        assert old == before[channel][0]
        if channel is not Channel.REHEARSE:
            assert [key.id for key in read_keyring(files[1]).of(channel)] == [old.id, fresh.id]
    invoke("rotate", "--sign", *map(str, files))
    for channel in Channel:
        fresh, old = read_keyring(files[0]).of(channel)
        assert old.id == before[channel][0].id
    assert read_keyring(files[0]).of(Channel.LIVE)[0].id == read_keyring(files[1]).of(Channel.LIVE)[0].id
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keys", "keys-live"]


def test_there_is_nothing_to_sign_with_before_a_key_was_added(tmp_path):
    path = written(tmp_path)
    before = path.read_bytes()
    assert "add one first" in invoke("rotate", "--sign", str(path), code=1).output
    assert path.read_bytes() == before


def test_the_key_that_signs_is_not_retired(tmp_path):
    path = written(tmp_path)
    assert "it signs" not in invoke("retire", "nothing", str(path), code=1).output
    signing = read_keyring(path).of(Channel.RUN)[0].id
    assert f"{signing} signs: rotate first" in invoke("retire", signing, str(path), "--force", code=1).output


@pytest.mark.parametrize("open_runs", [[], ["plan-old"]])
def test_an_old_key_is_retired_unless_an_open_run_is_older_than_the_next(tmp_path, monkeypatch, open_runs):
    path = written(tmp_path)
    old = read_keyring(path).of(Channel.RUN)[0]
    invoke("rotate", str(path))
    asked: list[datetime] = []

    class Connected:
        client = None

        @classmethod
        async def connect(cls):
            return cls()

    async def answer(_client: Any, before: datetime) -> list[str]:
        asked.append(before)
        return open_runs

    monkeypatch.setattr(keys_module, "Airlock", Connected)
    monkeypatch.setattr(keys_module, "_open_since", answer)
    done = invoke("retire", old.id, str(path), code=1 if open_runs else 0)
    assert asked == [read_keyring(path).of(Channel.RUN)[0].signs_since]
    assert (old.id in [key.id for key in read_keyring(path).keys]) is bool(open_runs)
    assert ("plan-old" in done.output) is bool(open_runs)


def test_keys_come_from_the_environment_or_a_file_or_the_configuration(tmp_path):
    here, there = written(tmp_path / "here"), written(tmp_path / "there")
    config = parse_config('[keys]\nfile = "there/keys"\n')
    configured = keys_file(config, tmp_path / "airlock.toml")
    assert configured == there
    assert find_keyring(configured, {}) == read_keyring(there)
    assert find_keyring(configured, {"AIRLOCK_KEYS_FILE": str(here)}) == read_keyring(here)
    text = here.read_text(encoding="utf-8")
    assert find_keyring(configured, {"AIRLOCK_KEYS": text, "AIRLOCK_KEYS_FILE": str(there)}) == read_keyring(here)
    assert find_keyring(keys_file(parse_config(""), None), {}) == Keyring()


@pytest.mark.parametrize("setting", ["[keys] file", "AIRLOCK_KEYS_FILE"])
def test_a_wrong_file_is_told_with_the_setting_that_names_it(tmp_path, setting):
    gone = tmp_path / "gone"
    by_variable = setting == "AIRLOCK_KEYS_FILE"
    with pytest.raises(ConfigError) as caught:
        find_keyring(None if by_variable else gone, {setting: str(gone)} if by_variable else {})
    assert [problem.where for problem in caught.value.problems] == [f"{setting}: {gone}"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_that_others_may_use_is_refused(tmp_path, mode):
    path = written(tmp_path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match="others than its owner"):
        read_keyring(path)


def test_keys_that_are_named_and_missing_are_an_error(tmp_path):
    with pytest.raises(ConfigError, match="airlock keys new"):
        find_keyring(tmp_path / "none", {})
    with pytest.raises(ConfigError, match="AIRLOCK_KEYS"):
        find_keyring(None, {"AIRLOCK_KEYS": "junk"})


def test_the_fix_of_a_file_that_cannot_be_read_fits_its_fault(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xff")
    (tmp_path / "garbage").write_text("garbage")
    for path in (tmp_path / "binary", tmp_path / "garbage"):
        path.chmod(0o600)
    for name, message, fix in [
        ("nothing", "No such file", "make keys with `airlock keys new`"), (".", "Is a directory", "that this user can read"),
        ("binary", "is not UTF-8", "that this user can read"), ("garbage", "the first line must be", "airlock keys new"),
    ]:  # fmt: skip
        with pytest.raises(ConfigError) as refused:
            read_keyring(tmp_path / name)
        (problem,) = refused.value.problems
        assert message in problem.message
        assert fix in problem.fix


def test_a_development_server_makes_its_keys_once(tmp_path):
    path = ensure_keys(tmp_path / "state" / "keys")
    made = secrets_of(path)
    assert secrets_of(ensure_keys(path)) == made
    assert unprotected(read_keyring(path), "all") == ()


def test_a_worker_says_what_is_not_protected():
    without = unprotected(Keyring(), "all")
    assert [sentence.partition(":")[0] for sentence in without] == [f"no key for channel {each}" for each in Channel]
    assert described(Keyring()) == "no keys"


def test_a_worker_of_each_role_misses_only_its_own_channels(tmp_path):
    invoke("new", "--folder", str(tmp_path), *(f"--role={role}" for role in ("orchestrate", "rehearse", "live")))
    for role in ("orchestrate", "rehearse", "live"):
        keys = read_keyring(tmp_path / f"keys-{role}")
        assert unprotected(keys, role) == ()
        require_usable(keys, role)
    assert len(unprotected(read_keyring(tmp_path / "keys-rehearse"), "all")) == 2
    only_made = read_keyring(written(tmp_path, "--demanded", "never"))
    assert ["believed" in sentence for sentence in unprotected(only_made, "all")] == [True]


def test_a_live_worker_that_could_never_accept_a_call_does_not_start(tmp_path):
    keys = read_keyring(written(tmp_path))
    live_only = Keyring(keys.of(Channel.LIVE), keys.demanded)
    with pytest.raises(ConfigError, match="none for channel run"):
        require_usable(live_only, "live")
    require_usable(live_only, "rehearse")
