"""`keys`: make, show, rotate and retire the keys by which workers prove what they say."""

import re
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from temporalio.client import Client

from airlock.base import names
from airlock.base.errors import Problem
from airlock.base.keyring import CHANNELS_OF, Channel, Key, Keyring, key_line, parse_keyring
from airlock.base.likely import likely_fix
from airlock.cli.output import OK, AsJson, Refusal, command, emit, say
from airlock.client import Airlock
from airlock.program import program
from airlock.temporal.keyring import DEFAULT_FILE, new_secrets, new_text, read_keyring, read_keys_text, write_keys

keys = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Make, show, rotate and retire the keys of workers. They prove answers; secrets are never printed.",
)

_SHOWN = 5
_LATER = re.compile(r"\+(\d+)([smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

File = Annotated[Path, typer.Argument(metavar="FILE", help="A file of keys.")]
Files = Annotated[list[Path], typer.Argument(metavar="FILE...", help="The files of all workers that share these keys.")]


@keys.command("new")
@command
def new(
    role: Annotated[
        list[str] | None,
        typer.Option("--role", help=f"For a worker of which role: {', '.join(CHANNELS_OF)}; once for each (default: all)."),
    ] = None,
    demanded: Annotated[
        str,
        typer.Option("--demanded", metavar="WHEN", help="From when answers need a proof: now, +1h, a time, or never."),
    ] = "now",
    folder: Annotated[Path, typer.Option("--folder", metavar="FOLDER", help="Where to write.")] = DEFAULT_FILE.parent,
    as_json: AsJson = False,
) -> int:
    """Make one set of keys and write a file for each role: `keys` for all, `keys-ROLE` for the others.

    On a namespace with open plans make them with --demanded never, give them to every worker, and add the line
    `demanded TIME` when all of them have restarted.
    """
    roles = list(dict.fromkeys(role or ["all"]))
    if unknown := [given for given in roles if given not in CHANNELS_OF]:
        said = f"there is no role {unknown[0]!r}: {likely_fix(unknown[0], CHANNELS_OF)}"
        raise typer.BadParameter(said, param_hint="'--role'")
    since, made = _moment(demanded), new_secrets()
    paths = {given: folder / ("keys" if given == "all" else f"keys-{given}") for given in roles}
    if there := [path for path in paths.values() if path.exists()]:
        file = shlex.quote(str(there[0]))
        raise Refusal(f"{there[0]} exists already: rotate it with `airlock keys rotate {file}`, or remove it")
    for given, path in paths.items():
        write_keys(path, new_text(made, given, since))
    if as_json:
        files = {given: str(path) for given, path in paths.items()}
        emit({"files": files, **_document(read_keyring(next(iter(paths.values()))))})
        return OK
    for given, path in paths.items():
        say(f"wrote {path}, for workers of role {given}")
    say('To use them: [keys] file = "..." in airlock.toml, or AIRLOCK_KEYS_FILE. Keep them out of version control.')
    return OK


@keys.command("show")
@command
def show(file: File = DEFAULT_FILE, as_json: AsJson = False) -> int:
    """Show the ids of the keys in a file, which of them sign, and from when proofs are demanded."""
    keyring = read_keyring(file)
    if as_json:
        emit(_document(keyring))
        return OK
    for channel in Channel:
        for place, key in enumerate(keyring.of(channel)):
            since = f", since {key.signs_since:%Y-%m-%d %H:%M:%S} UTC" if key.signs_since else ""
            say(f"{channel.value:<8} {key.id}  {'signs and verifies' if place == 0 else 'verifies'}{since}")
    say(f"demanded {keyring.demanded:%Y-%m-%d %H:%M:%S} UTC" if keyring.demanded else "proofs are made, not demanded")
    for key_id, at in keyring.revoked:
        say(f"revoked  {key_id} {at:%Y-%m-%d %H:%M:%S} UTC")
    return OK


@keys.command("rotate")
@command
def rotate(
    files: Files,
    add: Annotated[bool, typer.Option("--add", help="Only add new keys that verify; they do not sign yet.")] = False,
    sign: Annotated[bool, typer.Option("--sign", help="Let the keys that --add added sign.")] = False,
    as_json: AsJson = False,
) -> int:
    """Put a new key in front of each channel, the same in all files; the old ones go on verifying.

    With several workers do it in two steps, so that no worker meets a proof it cannot check: --add, restart all, --sign,
    restart all. With one worker neither option is needed.
    """
    if add and sign:
        raise Refusal("--add and --sign are two steps: restart every worker between them")
    texts = {file: read_keys_text(file) for file in files}
    rings = {file: read_keyring(file) for file in files}
    made, now = new_secrets(), datetime.now(UTC)
    changed = {
        file: _signing(texts[file], ring, now) if sign else _with_new(texts[file], ring, made, now, verify_only=add)
        for file, ring in rings.items()
    }
    for file, text in changed.items():
        parse_keyring(text)
        write_keys(file, text, replace=True)
    if as_json:
        emit({"files": {str(file): _document(read_keyring(file)) for file in files}})
        return OK
    for file in files:
        say(f"{file}: " + ", ".join(f"{key.channel.value} signs with {key.id}" for key in _signers(read_keyring(file))))
    then = f" Then: {program()} keys rotate --sign {shlex.join(map(str, files))}" if add else ""
    say(f"Restart the workers that read these files.{then}")
    return OK


@keys.command("retire")
@command
async def retire(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="The id that `airlock keys show` prints.")],
    files: Files,
    force: Annotated[bool, typer.Option("--force", help="Without asking Temporal which runs still need it.")] = False,
    as_json: AsJson = False,
) -> int:
    """Remove an old key from files, unless an open run may hold answers that it proves.

    The undo of a plan that has ended reads that plan's history: keep a key for the namespace's retention too.
    """
    rings = {file: read_keyring(file) for file in files}
    holding = {file: ring for file, ring in rings.items() if any(key.id == key_id for key in ring.keys)}
    if not holding:
        raise Refusal(f"none of these files holds a key {key_id!r}")
    successors = [_successor(ring, key_id) for ring in holding.values()]
    if None in successors:
        raise Refusal(f"{key_id} signs: rotate first, so that another one does")
    if not force:
        replaced_at = max((key.signs_since for key in successors if key and key.signs_since), default=None)
        await _refuse_if_needed(key_id, replaced_at)
    for file in holding:
        write_keys(file, _without(read_keys_text(file), key_id), replace=True)
    if as_json:
        emit({"retired": key_id, "files": [str(file) for file in holding]})
    else:
        say(f"{key_id} is not in {', '.join(map(str, holding))} any more. Restart the workers that read them.")
    return OK


async def _refuse_if_needed(key_id: str, replaced_at: datetime | None) -> None:
    if replaced_at is None:
        raise Refusal(f"the file does not say when {key_id} was replaced: check that no older run is open, then --force")
    client = (await Airlock.connect()).client
    older = await _open_since(client, replaced_at)
    if older:
        some, more = older[:_SHOWN], f", and {len(older) - _SHOWN} more" if len(older) > _SHOWN else ""
        raise Refusal(
            f"{', '.join(some)}{more} began before {replaced_at:%Y-%m-%d %H:%M:%S} UTC and may hold answers that "
            f"{key_id} proves: wait until they have ended or continued as new",
            [Problem(where=run, message="is open and older than the key that followed", fix="wait") for run in some],
        )


async def _open_since(client: Client, before: datetime) -> list[str]:
    types = ", ".join(
        f"'{name}'" for name in (names.PLAN_WORKFLOW, names.GATE_WORKFLOW, names.CLAIM_WORKFLOW, names.MONITOR_WORKFLOW)
    )
    query = f"WorkflowType IN ({types}) AND ExecutionStatus = 'Running' AND StartTime < '{before:%Y-%m-%dT%H:%M:%SZ}'"
    return [found.id async for found in client.list_workflows(query)]


def _with_new(text: str, ring: Keyring, made: dict[Channel, bytes], now: datetime, *, verify_only: bool) -> str:
    """Return the text with a new key for each of its channels: in front of the others, or behind the first."""
    lines = text.splitlines()
    for channel in Channel:
        if ring.of(channel):
            place = _lines_of(lines, channel)[0] + (1 if verify_only else 0)
            lines.insert(place, key_line(channel, made[channel], now))
    return "\n".join(lines) + "\n"


def _signing(text: str, ring: Keyring, now: datetime) -> str:
    """Return the text with the second key of each channel in front, as signing from now."""
    lines = text.splitlines()
    for channel in Channel:
        if len(ring.of(channel)) < 2:
            continue
        first, second = _lines_of(lines, channel)[:2]
        del lines[second]
        lines.insert(first, key_line(channel, ring.of(channel)[1].secret, now))
    if lines == text.splitlines():
        raise Refusal("no channel has a second key: add one first with `airlock keys rotate --add FILE...`")
    return "\n".join(lines) + "\n"


def _without(text: str, key_id: str) -> str:
    lines = text.splitlines()
    ring = parse_keyring(text)
    for channel in Channel:
        places = _lines_of(lines, channel)
        for place, key in reversed(list(zip(places, ring.of(channel), strict=True))):
            if key.id == key_id:
                del lines[place]
    return "\n".join(lines) + "\n"


def _lines_of(lines: Sequence[str], channel: Channel) -> list[int]:
    return [number for number, line in enumerate(lines) if line.partition("#")[0].split()[:1] == [channel.value]]


def _successor(ring: Keyring, key_id: str) -> Key | None:
    """Return the key that signs in place of this one, or None while this one does."""
    key = next(key for key in ring.keys if key.id == key_id)
    signing = ring.of(key.channel)[0]
    return None if signing == key else signing


def _signers(ring: Keyring) -> list[Key]:
    return [ring.of(channel)[0] for channel in Channel if ring.of(channel)]


def _moment(given: str) -> datetime | None:
    if given == "never":
        return None
    if given == "now":
        return datetime.now(UTC)
    if later := _LATER.fullmatch(given):
        return datetime.now(UTC) + timedelta(**{_UNITS[later[2]]: int(later[1])})
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise Refusal(f"--demanded {given!r}: write now, never, +1h, or a time like 2028-12-01T12:00:00Z")
    return at


def _document(ring: Keyring) -> dict[str, object]:
    signers = _signers(ring)
    return {
        "keys": [
            {"channel": key.channel.value, "id": key.id, "signs": key in signers, "since": _written(key.signs_since)}
            for key in ring.keys
        ],
        "demanded": _written(ring.demanded),
        "revoked": [{"id": key_id, "after": _written(at)} for key_id, at in ring.revoked],
    }


def _written(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
