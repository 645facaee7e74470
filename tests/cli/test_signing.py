"""Signatures of the command line, by OpenSSH itself: key files, public keys with an agent, and `ssh-keygen -Y verify`."""

import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from airlock.cli.output import Refusal
from airlock.cli.signing import Signing, evidence_of
from airlock.client.signing import ToSign, to_sign
from airlock.run.messages import Unlock
from airlock.signing.evidence import SshEvidence, exactly
from airlock.signing.proof import Registered, proof_of
from airlock.signing.statement import Statement

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="OpenSSH's client is not installed")


def unlock(by: str = "alice") -> ToSign:
    return to_sign(
        "unlock", Unlock(by=by, reason="checked"), namespace="default", subject="plan-p-1", life="abc", nonce="0" * 64,
        seal=None, valid_for=timedelta(hours=1),
    )  # fmt: skip


def new_key(folder: Path, kind: str, *, name: str = "alice", passphrase: str = "") -> Path:
    file = folder / f"{name}-{kind}"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", name, "-f", str(file)], check=True, timeout=60)
    return file


def line(file: Path) -> str:
    return Path(f"{file}.pub").read_text(encoding="utf-8").strip()


def fits(signed: ToSign, evidence: SshEvidence, *files: Path) -> str | None:
    return proof_of(evidence, signed.statement, Registered(authorized_keys=tuple(map(line, files)))).problem


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A real ssh-agent of the test's own."""
    socket = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it says where it listens once it does
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        yield
        process.terminate()


def add(file: Path) -> None:
    subprocess.run(["ssh-add", "-q", str(file)], check=True, timeout=60, stdin=subprocess.DEVNULL)
    file.unlink()  # from here on only the agent has it


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
async def test_a_key_file_signs_and_openssh_verifies(tmp_path: Path, kind: str) -> None:
    file, signed = new_key(tmp_path, kind), unlock()
    evidence = await evidence_of(signed, Signing(key=file))
    assert fits(signed, evidence, file) is None
    allowed, signature = tmp_path / "allowed", tmp_path / "signature"
    allowed.write_text(f"alice {line(file)}\n", encoding="utf-8")
    body = evidence.signature
    lines = [body[at : at + 70] for at in range(0, len(body), 70)]
    signature.write_text(
        "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""]), encoding="utf-8"
    )
    done = subprocess.run(
        ["ssh-keygen", "-Y", "verify", "-n", "airlock", "-f", str(allowed), "-I", "alice", "-s", str(signature)],
        input=signed.text.encode(), capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
@pytest.mark.parametrize("hashed", ["sha256", "sha512"])
def test_what_ssh_keygen_signs_counts_with_its_frame(tmp_path: Path, kind: str, hashed: str) -> None:
    file, signed = new_key(tmp_path, kind), unlock()
    command = ["ssh-keygen", "-q", "-Y", "sign", "-n", "airlock", "-O", f"hashalg={hashed}", "-f", str(file)]
    made = subprocess.run(command, input=signed.text, capture_output=True, text=True, timeout=60, check=True).stdout
    assert fits(signed, signed.with_ssh(made), file) is None
    elsewhere = ["ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", str(file)]
    made = subprocess.run(elsewhere, input=signed.text, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "it was made for 'file'" in str(fits(signed, signed.with_ssh(made), file))


async def test_every_changed_byte_of_a_signature_is_refused(tmp_path: Path) -> None:
    file, signed = new_key(tmp_path, "ed25519"), unlock()
    evidence = await evidence_of(signed, Signing(key=file))
    for at, old in enumerate(evidence.signature):
        new = "A" if old != "A" else "B"
        changed = evidence.model_copy(update={"signature": evidence.signature[:at] + new + evidence.signature[at + 1 :]})
        assert fits(signed, changed, file) is not None, at
    text = signed.text
    assert Statement.model_validate_json(text).text == text
    assert exactly("AB==") is None  # another text for the bytes of AA==


async def test_the_agent_signs_with_the_key_of_that_person(tmp_path: Path, agent: None) -> None:
    first, second = new_key(tmp_path, "ed25519"), new_key(tmp_path, "ecdsa", name="bob")
    add(first)
    add(second)
    for by, file in (("Alice", first), ("bob", second)):
        signed = unlock(by)
        evidence = await evidence_of(signed, Signing(agent=True))
        assert fits(signed, evidence, first, second) is None, by
        assert fits(signed, await evidence_of(signed, Signing(key=Path(f"{file}.pub"))), first, second) is None
    with pytest.raises(Refusal, match="not clear with which key") as refused:
        await evidence_of(unlock("carol"), Signing(agent=True))
    (problem,) = refused.value.problems
    assert problem.message == (
        "none of its keys is that of 'carol', it has those of 'alice' (ssh-ed25519) and 'bob' (ecdsa-sha2-nistp256)"
    )
    assert (
        problem.fix
        == "add yours, whose comment is 'carol': ssh-add FILE; or name one by its public key: --sign-key FILE.pub"
    )
    add(new_key(tmp_path, "ed25519", name="bob"))
    with pytest.raises(Refusal, match="not clear with which key") as refused:
        await evidence_of(unlock("bob"), Signing(agent=True))
    assert refused.value.problems[0].message.startswith("several of its keys are that of 'bob': 'bob' (")


async def test_what_cannot_sign_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agent: None) -> None:
    with pytest.raises(Refusal, match="ssh-agent has no key") as refused:
        await evidence_of(unlock(), Signing(agent=True))
    assert refused.value.problems[0].fix == "add your key: ssh-add FILE"
    public = Path(f"{new_key(tmp_path, 'ed25519')}.pub")
    public.with_suffix("").unlink()
    with pytest.raises(Refusal, match="cannot be signed") as refused:
        await evidence_of(unlock(), Signing(key=public))
    assert "ssh-add -L" in refused.value.problems[0].fix
    monkeypatch.delenv("SSH_AUTH_SOCK")
    with pytest.raises(Refusal, match="there is no ssh-agent"):
        await evidence_of(unlock(), Signing(agent=True))
    with pytest.raises(Refusal, match="cannot be signed"):
        await evidence_of(unlock(), Signing(key=tmp_path / "missing"))
    rsa = new_key(tmp_path, "rsa")
    with pytest.raises(Refusal, match="cannot be signed") as refused:
        await evidence_of(unlock(), Signing(key=rsa))
    assert "is no Ed25519 or ECDSA key" in refused.value.problems[0].message
    (tmp_path / "junk").write_text("no key", encoding="utf-8")
    with pytest.raises(Refusal, match="the key file cannot be read"):
        await evidence_of(unlock(), Signing(key=tmp_path / "junk"))


def test_evidence_is_to_the_second_in_utc() -> None:
    made = SshEvidence.model_validate(
        {"kind": "ssh", "nonce": "0" * 64, "expires": "2026-03-01T13:00:00.7+01:00", "signature": "AAAA"}
    )
    assert made.expires == datetime(2026, 3, 1, 12, tzinfo=UTC)
