"""The file of bearer tokens: one line for each, with the hash of the token and the agent that it speaks for.

sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 claude

A token has 256 bits of chance, so a plain hash cannot be guessed back. The file is read again at every request: a token
whose line was removed is refused at once.
"""

import hashlib
import hmac
import os
import re
import secrets
import stat
from pathlib import Path

from airlock.base.errors import ConfigError, Problem
from airlock.base.person import name_problem

PREFIX = "airlock_"
_LINE = re.compile(r"sha256:(?P<hash>[0-9a-f]{64})\s+(?P<agent>\S.*)")


def new_token() -> str:
    """Return a new token."""
    return PREFIX + secrets.token_urlsafe(32)


def token_line(token: str, agent: str) -> str:
    """Return the line of the file for a token."""
    return f"sha256:{_hash(token)} {agent}"


def add_token(path: Path, agent: str) -> str:
    """Make a token for an agent, append its line to the file, and return it. It is shown never again.

    Raises:
        ConfigError: If the name is none, or the file cannot be used as it is.
    """
    require_name(agent, "--agent")
    if path.exists():
        read_tokens(path)
    token = new_token()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w", encoding="utf-8") as file:
        file.write(f"{token_line(token, agent)}\n")
    return token


def read_tokens(path: Path) -> tuple[tuple[str, str], ...]:
    """Return the hash and the agent of each line; empty lines and lines that begin with `#` do not count.

    Raises:
        ConfigError: If a line is malformed, there is none, or others may write the file.
    """
    try:
        text, mode = path.read_text(encoding="utf-8"), path.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem(where=str(path), message=f"cannot be read: {error}", fix="check the path given as --tokens")
        raise ConfigError([problem]) from error
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        fix = f"chmod go-w {path}"
        raise ConfigError([Problem(where=str(path), message="other users may write it, and so let anyone in", fix=fix)])
    found: list[tuple[str, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            fix = "write `sha256:HASH AGENT`; airlock mcp --new-token writes such a line"
            raise ConfigError([Problem(where=f"{path}:{number}", message="is no line of a token", fix=fix)])
        require_name(match["agent"], f"{path}:{number}")
        found.append((match["hash"], match["agent"]))
    if not found:
        fix = f"make one: airlock mcp --new-token --agent NAME --tokens {path}"
        raise ConfigError([Problem(where=str(path), message="has no token", fix=fix)])
    return tuple(found)


def agent_of(token: str, known: tuple[tuple[str, str], ...]) -> str | None:
    """Return the agent of a token; None for an unknown one. Takes as long for every token."""
    given, agent = _hash(token), None
    for line_hash, name in known:  # all of them, whatever was found
        if hmac.compare_digest(given, line_hash):
            agent = name
    return agent


def require_name(agent: str, where: str) -> None:
    """Require that a name may be the one of an agent.

    Raises:
        ConfigError: If it is reserved, looks like another one, or is too long.
    """
    problem = name_problem(agent) or ("an agent of a policy is named, not `*`" if agent == "*" else "")
    if problem or len(agent) > 200:
        raise ConfigError([Problem(where=where, message=problem or "is longer than 200 characters", fix="name one agent")])


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
