"""The signature of a decision on the command line: with a key file, with ssh-agent, with a hardware key."""

import asyncio
import base64
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from airlock.base.errors import Problem
from airlock.base.keys import KeyOnHardware, PassphraseNeeded, PrivateKey, SignatureError, SshKey, read_key, read_private_key
from airlock.base.person import same_person
from airlock.base.text import listed
from airlock.cli.asking import ended_by_ctrl_c
from airlock.cli.output import Refusal
from airlock.client.signing import ToSign
from airlock.signing import sshsig
from airlock.signing.evidence import SshEvidence

_CANNOT: Final = "the decision cannot be signed"
_TIME: Final = 120.0
"""Seconds for a person to type a passphrase, or to touch a key."""

SignKeyOption = Annotated[
    Path | None,
    typer.Option(
        "--sign-key",
        metavar="FILE",
        help="Sign with this key, as made by ssh-keygen; with a public key, ssh-agent signs.",
    ),
]
SshAgentOption = Annotated[bool, typer.Option("--ssh-agent", help="Sign with your key in ssh-agent.")]
PrintOption = Annotated[
    bool,
    typer.Option("--print-command", help="Print the temporal command that sends this, signature included; send nothing."),
]


@dataclass(frozen=True)
class Signing:
    """The way in which a decision is signed and sent."""

    key: Path | None = None
    agent: bool = False
    printed: bool = False
    """True to print the command that sends it."""

    @property
    def wanted(self) -> bool:
        """True if the decision is signed."""
        return self.key is not None or self.agent


UNSIGNED: Final = Signing()


async def evidence_of(signed: ToSign, signing: Signing) -> SshEvidence:
    """Return the signature of a decision.

    Raises:
        Refusal: If it cannot be made; it names the reason and the fix.
    """
    return await signer(signing)(signed)


def signer(signing: Signing) -> Callable[[ToSign], Awaitable[SshEvidence]]:
    """Return what signs decisions in this way. A passphrase is asked for now, and only once.

    Raises:
        Refusal: If the key file cannot be used.
    """
    key = None if signing.key is None else private_key(signing.key)

    async def sign(signed: ToSign) -> SshEvidence:
        text, by = signed.text.encode(), signed.statement.by
        if key is not None:
            return signed.with_ssh(base64.b64encode(sshsig.sign(key, text)).decode())
        made = _by_agent(text, by) if signing.key is None else _by_openssh(text, signing.key)
        return signed.with_ssh(await made)

    return sign


def private_key(file: Path) -> PrivateKey | None:
    """Return the private key of a file, whose passphrase is asked for on a terminal; None if only OpenSSH signs with it.

    That is so for a public key, whose private one ssh-agent holds, and for hardware.

    Raises:
        Refusal: If the file cannot be used.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        problem = Problem(where="--sign-key", message=f"{file}: {error.strerror}", fix="name a key file")
        raise Refusal(_CANNOT, [problem]) from error
    if content.startswith((b"ssh-", b"ecdsa-", b"sk-")):
        return None
    try:
        return _opened(content, file)
    except KeyOnHardware:
        return None
    except SignatureError as error:
        problem = Problem(where="--sign-key", message=f"{file}: {error}", fix="name a private key file")
        raise Refusal(f"{_CANNOT}: {error}", [problem]) from error


def _opened(content: bytes, file: Path) -> PrivateKey:
    try:
        return read_private_key(content)
    except PassphraseNeeded:
        if not sys.stdin.isatty():
            raise
    with ended_by_ctrl_c():
        passphrase = typer.prompt(f"Password of {file}", hide_input=True)
    return read_private_key(content, passphrase.encode())


async def _by_agent(text: bytes, by: str) -> str:
    """Return the signature of the agent's key of that person: by its comment, or the only one that there is."""
    if not os.environ.get("SSH_AUTH_SOCK"):
        problem = Problem(
            where="--ssh-agent", message="SSH_AUTH_SOCK is not set", fix='start one: eval "$(ssh-agent)"; ssh-add'
        )
        raise Refusal(f"{_CANNOT}: there is no ssh-agent", [problem])
    shown = await _run([_program("ssh-add"), "-L"])
    if shown.returncode:
        problem = Problem(where="--ssh-agent", message=_said(shown), fix="add your key: ssh-add FILE")
        raise Refusal(f"{_CANNOT}: ssh-agent has no key for it", [problem])
    with tempfile.TemporaryDirectory(prefix="airlock-") as folder:
        public = Path(folder) / "key.pub"
        public.write_text(_own_key(shown.stdout.decode(errors="replace").splitlines(), by) + "\n", encoding="utf-8")
        return await _by_openssh(text, public)


def _own_key(lines: Sequence[str], by: str) -> str:
    """Return the line of the agent's key of a person, or of the only one that there is."""
    found = [(key, line) for line in lines if (key := _counting(line)) is not None]
    own = [(key, line) for key, line in found if same_person(key.person, by)]
    candidates = own or found
    if len(candidates) == 1:
        return candidates[0][1]
    names = listed([f"{key.person!r} ({key.kind})" for key, _ in candidates])
    fix = "name one by its public key: --sign-key FILE.pub"
    if own:
        message = f"several of its keys are that of {by!r}: {names}"
    elif found:
        message = f"none of its keys is that of {by!r}, it has those of {names}"
        fix = f"add yours, whose comment is {by!r}: ssh-add FILE; or {fix}"
    else:
        message = f"its keys are of kinds that do not count: {listed([line.partition(' ')[0] for line in lines])}"
        fix = "add an Ed25519 or ECDSA key: ssh-add FILE"
    problem = Problem(where="--ssh-agent", message=message, fix=fix)
    raise Refusal(f"{_CANNOT}: it is not clear with which key", [problem])


def _counting(line: str) -> SshKey | None:
    """Return the key of a line; None for one of a kind that does not count."""
    try:
        return read_key(line)
    except SignatureError:
        return None


async def _by_openssh(text: bytes, file: Path) -> str:
    done = await _run([_program("ssh-keygen"), "-q", "-Y", "sign", "-n", sshsig.NAMESPACE, "-f", str(file)], text)
    if done.returncode:
        fix = "is the private key in ssh-agent, or the hardware key plugged in? See them: ssh-add -L"
        raise Refusal(_CANNOT, [Problem(where=str(file), message=_said(done), fix=fix)])
    return done.stdout.decode()


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        fix = "install the client of OpenSSH, or sign with a private key file: --sign-key FILE"
        raise Refusal(_CANNOT, [Problem(where=name, message="is not installed", fix=fix)])
    return found


async def _run(command: list[str], text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    def run() -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(command, input=text, capture_output=True, timeout=_TIME, check=False)

    try:
        return await asyncio.to_thread(run)
    except subprocess.TimeoutExpired as error:
        raise Refusal(f"{_CANNOT}: {Path(command[0]).name} did not answer within {_TIME:g} seconds") from error


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
    return said[-1][:200] if said else f"exit code {done.returncode}"
