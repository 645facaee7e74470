"""Finds and reads a worker's keys: in the environment, in the file it names, or in the one that airlock.toml names."""

import os
import secrets
import stat
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from airlock.admission.configuration.config import Config
from airlock.base.errors import ConfigError, Problem
from airlock.base.keyring import CHANNELS_OF, SECRET_BYTES, Channel, Keyring, KeyringError, keyring_text, parse_keyring

KEYS_VARIABLE = "AIRLOCK_KEYS"
"""Holds the text of a file of keys, for secret stores."""
KEYS_FILE_VARIABLE = "AIRLOCK_KEYS_FILE"
"""Names a file of keys."""
DEFAULT_FILE = Path(".airlock") / "keys"
DEFAULT_CONFIG = Path("airlock.toml")
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def find_keyring(configured: Path | None, environment: Mapping[str, str] | None = None) -> Keyring:
    """Return the keys of this process; a keyring without keys where none are configured.

    Args:
        configured: The file that `[keys] file` of airlock.toml names.
        environment: Environment variables, which go before; this process's own unless given.

    Raises:
        ConfigError: If keys are named that cannot be used.
    """
    variables = os.environ if environment is None else environment
    if text := variables.get(KEYS_VARIABLE, ""):
        return _parsed(text, KEYS_VARIABLE)
    if named := variables.get(KEYS_FILE_VARIABLE, ""):
        return _read_as_set(Path(named), KEYS_FILE_VARIABLE)
    return _read_as_set(configured, "[keys] file") if configured is not None else Keyring()


def _read_as_set(path: Path, setting: str) -> Keyring:
    try:
        return read_keyring(path)
    except ConfigError as error:
        named = [each.model_copy(update={"where": f"{setting}: {each.where}"}) for each in error.problems]
        raise ConfigError(named) from error


def keys_file(config: Config, path: Path | None) -> Path | None:
    """Return the file of keys that a configuration names, or None; `path` is where the configuration was read."""
    return None if config.keys.file is None else (path or DEFAULT_CONFIG).parent / config.keys.file


def read_keyring(path: Path) -> Keyring:
    """Return the keys of a file.

    Raises:
        ConfigError: If it is not there, others may read it, or a line cannot be understood.
    """
    return _parsed(read_keys_text(path), str(path))


def read_keys_text(path: Path) -> str:
    """Return the text of a file of keys that only its owner may read.

    Raises:
        ConfigError: If it is not there, cannot be read, or others may read it.
    """
    try:
        with path.open(encoding="utf-8") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        fix = "name a file of keys that this user can read"
        if isinstance(error, FileNotFoundError):
            fix = "make keys with `airlock keys new`, or name the file that holds them"
        problem = Problem(where=str(path), message=str(said or error), fix=fix)
        raise ConfigError([problem]) from error
    if mode & _OTHERS:
        problem = Problem(
            where=str(path), message=f"others than its owner may use it (mode {stat.S_IMODE(mode):04o})",
            fix=f"chmod 600 {path}",
        )  # fmt: skip
        raise ConfigError([problem])
    return text


def _parsed(text: str, where: str) -> Keyring:
    try:
        return parse_keyring(text)
    except KeyringError as error:
        fix = "correct it, or make new keys for all workers: airlock keys new"
        raise ConfigError([Problem(where=where, message=str(error), fix=fix)]) from error


def new_secrets() -> dict[Channel, bytes]:
    """Return a new secret for every channel."""
    return {channel: secrets.token_bytes(SECRET_BYTES) for channel in Channel}


def new_text(made: Mapping[Channel, bytes], role: str, demanded: datetime | None) -> str:
    """Return the text of a new file of keys for a worker of a role."""
    chosen = {channel: made[channel] for channel in CHANNELS_OF[role]}
    return keyring_text(chosen, datetime.now(UTC), demanded)


def write_keys(path: Path, text: str, *, replace: bool = False) -> None:
    """Write a file that only its owner may read, whole or not at all.

    Raises:
        FileExistsError: If it is there already, unless `replace`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not replace:
        _write_new(path, text)
        return
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    _write_new(fresh, text)
    fresh.replace(path)


def _write_new(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def ensure_keys(path: Path) -> Path:
    """Make keys for every role where the file is missing, and return it; for servers of one machine."""
    if not path.exists():
        # a worker that is just starting has asked nothing yet; a second allows for clocks that are set while it does
        write_keys(path, new_text(new_secrets(), "all", datetime.now(UTC) - timedelta(seconds=1)))
    return path
