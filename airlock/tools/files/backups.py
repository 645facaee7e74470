"""Changes of one file with an exact undo: its former bytes and mode are kept.

Backups are in `<root>/.airlock/<hash of the idempotency key>/`: `change.json` (the intended change), `before` (the former
bytes), `done` (an empty file, created after the change). The whole entry appears at once, before the file is touched.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from airlock.base.errors import InDoubt, Stale, ToolFailed
from airlock.plans.tool_call import Preview, ToolCall
from airlock.tools.files.file_fences import fenced
from airlock.tools.files.file_states import file_name
from airlock.tools.files.folder import ABSENT, PRIVATE, FileState, folder_of, parents, place, state_of
from airlock.tools.outcomes import Asked, Effect, errno_name, meaning

NEW_FILE_MODE = 0o644


class Change(BaseModel):
    """One change of one file; as JSON it is the call's undo token."""

    model_config = ConfigDict(frozen=True)

    path: str
    before: FileState
    after: FileState
    created: tuple[str, ...]
    """The folders that the change creates."""
    backup: str
    """The name of the backup's folder."""

    @classmethod
    def from_token(cls, token: object) -> Self:
        """Read the change from an undo token.

        Raises:
            ToolFailed: If the token is not that of a file change.
        """
        try:
            return cls.model_validate(token)
        except ValidationError as error:
            raise ToolFailed("the undo token is not one of a file change") from error


def change_file(call: ToolCall, path: str, content: bytes | None, mode: int | None = None) -> Change:
    """Give a file this content and mode, atomically, once per idempotency key; without content, remove it.

    Without a mode the file keeps its own. `call.undo` is set before the file is touched.

    Raises:
        ToolFailed: If nothing was changed.
        Stale: If the file is not in the state that its preview saw; nothing was changed.
        InDoubt: If an earlier attempt was interrupted and another program has changed the file since.
    """
    root = folder_of(call.settings)
    target = place(root, path)
    entry = _entry(root, call.idempotency_key)
    with _failures(path):
        now = state_of(target)
        change = _recorded(entry)
        if change is None:
            if call.observed is not None and call.observed != now.model_dump(mode="json"):
                raise Stale(f"{path!r} has changed since its preview")
            if content is None and not now.exists:
                raise ToolFailed(f"there is no file {path!r} to delete")
            change = _record(root, entry, path, now, after_change(now, content, mode))
        if (change.path, change.after) != (path, after_change(change.before, content, mode)):
            raise ToolFailed("this idempotency key was used for another change of a file")
        call.undo = change.model_dump(mode="json")
        call.leaves[file_name(path)] = change.after.model_dump(mode="json")
        if (entry / "done").exists():
            return change
        if now not in (change.before, change.after):
            raise InDoubt(f"an earlier attempt to change {path!r} was interrupted, and the file is now in a third state")
        if now != change.after:
            draft = _draft(entry, change.after, content or b"")
            with fenced(root, path, call):
                _put(draft, target, change.before, change.after)
        with suppress(OSError):  # optional: a repeat also recognizes the state of the file
            (entry / "done").touch()
    return change


def after_change(before: FileState, content: bytes | None, mode: int | None = None) -> FileState:
    """Return the state of a file after it gets this content and mode."""
    if content is None:
        return ABSENT
    kept = int(before.mode, 8) if before.mode else NEW_FILE_MODE
    return FileState.of(content, kept if mode is None else mode)


def made_before(call: ToolCall) -> Change | None:
    """Return the change that was made under this idempotency key already; None if there is none, or none that can be read.

    A run in another namespace, or after the retention, has the same key: its live call would change nothing.
    """
    entry = _entry(folder_of(call.settings), call.idempotency_key)
    try:
        return _recorded(entry) if (entry / "done").exists() else None
    except (OSError, ValidationError):
        return None


def undo_change(call: ToolCall) -> None:
    """Restore the state that a file had before the call; safe to repeat.

    Raises:
        ToolFailed: If another program has changed the file since, or its backup is gone; nothing was changed.
    """
    root = folder_of(call.settings)
    change = Change.from_token(call.undo)
    target = place(root, change.path)
    entry = root / PRIVATE / change.backup
    with _failures(change.path):
        now = state_of(target)
        if entry.exists() and now not in (change.before, change.after):
            raise ToolFailed(f"{change.path!r} was changed by another program since; its former bytes are in {PRIVATE}")
        if now == change.after != change.before:
            if not entry.exists():
                raise ToolFailed(f"the backup of {change.path!r} is gone: restore the file by hand")
            draft = _draft(entry, change.before, (entry / "before").read_bytes() if change.before.exists else b"")
            with fenced(root, change.path, call):
                _put(draft, target, change.after, change.before)
        _remove_folders(root, change)
        shutil.rmtree(entry, ignore_errors=True)
        _remove_if_empty(root / PRIVATE)


def look_at_undo(call: ToolCall) -> Preview:
    """Predict what `undo_change` would do now; change nothing.

    Raises:
        ToolFailed: If it would fail.
    """
    root = folder_of(call.settings)
    change = Change.from_token(call.undo)
    now = state_of(place(root, change.path))
    entry = root / PRIVATE / change.backup
    if entry.exists() and now not in (change.before, change.after):
        raise ToolFailed(f"{change.path!r} was changed by another program since; its former bytes are in {PRIVATE}")
    if now != change.after or change.after == change.before:
        return Preview(effect=f"Nothing to do: {change.path} is not as this call left it.")
    if not entry.exists():
        raise ToolFailed(f"the backup of {change.path!r} is gone: restore the file by hand")
    what = f"restore the {change.before.size} bytes of" if change.before.exists else "remove"
    return Preview(effect=f"Would {what} {change.path}.", observed=now.model_dump(mode="json"))


def _entry(root: Path, idempotency_key: str) -> Path:
    return root / PRIVATE / hashlib.sha256(idempotency_key.encode()).hexdigest()[:32]


def _recorded(entry: Path) -> Change | None:
    try:
        return Change.model_validate_json((entry / "change.json").read_bytes())
    except FileNotFoundError:
        return None


def _record(root: Path, entry: Path, path: str, before: FileState, after: FileState) -> Change:
    """Store the change and the former bytes, all at once or not at all."""
    created = [parent for parent in parents(path) if after.exists and not (root / parent).exists()]
    change = Change(path=path, before=before, after=after, created=tuple(created), backup=entry.name)
    draft = entry.with_suffix(".draft")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        draft.mkdir(parents=True, mode=0o700)
        if change.before.exists:
            shutil.copyfile(root / change.path, draft / "before")
            if state_of(draft / "before").sha256 != change.before.sha256:
                raise ToolFailed(f"{change.path!r} was being changed during its backup", retry=True)
        (draft / "change.json").write_text(change.model_dump_json(), encoding="utf-8")
        for file in draft.iterdir():
            _flush(file)
        draft.rename(entry)
    except (OSError, ToolFailed):
        shutil.rmtree(draft, ignore_errors=True)  # what filled a disk must not keep it full
        raise
    return change


def _draft(entry: Path, state: FileState, content: bytes) -> Path | None:
    """Write the next state of a file beside it; None if there is to be no file."""
    if not state.exists:
        return None
    draft = entry / "new"
    try:
        draft.write_bytes(content)
        draft.chmod(int(state.mode or "0600", 8))
        _flush(draft)
    except OSError:
        with suppress(OSError):
            draft.unlink()
        raise
    return draft


def _put(draft: Path | None, target: Path, before: FileState, after: FileState) -> None:
    """Bring the file into its next state; a reader sees the old file or the new one, never a part.

    Raises:
        OSError: If the file is as it was.
        InDoubt: If the operating system reports an error, and the file is neither as it was nor as it should be.
    """
    if draft is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
    try:
        if draft is None:
            target.unlink()
        else:
            draft.replace(target)
    except OSError as error:
        # over a network, a rename may be reported as failed and have happened
        if meaning(Asked.FILE_SWAP, errno_name(error)).effect is not Effect.DOUBT:
            raise
        if (now := _state_if_readable(target)) == after:
            return
        if now == before:
            raise
        raise InDoubt(f"{target.name!r} was being replaced when this happened: {error.strerror}") from error


def _state_if_readable(target: Path) -> FileState | None:
    try:
        return state_of(target)
    except (ToolFailed, OSError):
        return None


def _flush(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_folders(root: Path, change: Change) -> None:
    """Remove the folders that this change created, as soon as they are empty.

    Concurrent calls may be undone in any order. If a folder is not empty when the change that created it is undone, it is
    marked, and the undo that empties it removes it.
    """
    marks = root / PRIVATE / "emptied"
    for folder in change.created:
        marks.mkdir(parents=True, exist_ok=True)
        (marks / _mark(folder)).touch()
    if change.before == ABSENT:
        for folder in parents(change.path):
            if not (marks / _mark(folder)).exists() or not _remove_if_empty(root / folder):
                break
            (marks / _mark(folder)).unlink(missing_ok=True)
    _remove_if_empty(marks)


def _mark(folder: str) -> str:
    return hashlib.sha256(folder.encode()).hexdigest()[:32]


def _remove_if_empty(folder: Path) -> bool:
    """Remove a folder if it is empty; return True if it is gone."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


@contextmanager
def _failures(path: str) -> Iterator[None]:
    """Turn errors of the operating system into `ToolFailed`: files are replaced in one step, so nothing was changed."""
    try:
        yield
    except OSError as error:
        again = meaning(Asked.FILE_DRAFT, errno_name(error)).again
        if isinstance(error, FileNotFoundError):
            text = f"{path!r}: another program removed the file or one of its folders meanwhile"
        else:
            text = f"{path!r} cannot be changed: {error.strerror}"
        raise ToolFailed(text, retry=again) from error
