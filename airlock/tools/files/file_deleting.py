"""`file_delete`: removal of one file in the operator's folder."""

from airlock.base.errors import ToolFailed
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.tools.common import Arguments, frozen_description, json_of
from airlock.tools.files.backups import change_file, look_at_undo, undo_change
from airlock.tools.files.file_repeats import repeated
from airlock.tools.files.file_states import left, not_tried, state_before
from airlock.tools.files.folder import ABSENT, FileInfo, FileSettings, FileState, RelativePath, info_of
from airlock.tools.files.former_text import former_text


class FileDelete(Arguments):
    """The file to remove."""

    model_config = frozen_description("Which file to remove.")

    path: RelativePath


@tool(
    name="file_delete",
    risk="MEDIUM",
    reversibility="reversible",
    permissions={"files:write"},
    resources=["file:{path}"],
    timeout=30,
    idempotent=True,
    settings=FileSettings,
)
def file_delete(args: FileDelete, call: ToolCall) -> FileInfo:
    """Delete a file in the operator's folder, keeping a backup for the undo."""
    return info_of(args.path, change_file(call, args.path, None).before)


@file_delete.dry_run(partial=True)
def look(args: FileDelete, call: ToolCall) -> Preview:
    """Check that the file exists, and tell its size and mode."""
    if args.path == UNKNOWN:
        return Preview(effect="Would delete a file whose name is known after live.", undo="Restore the file.")
    if (earlier := repeated(call, args.path, None)) is not None:
        return earlier
    now = state_before(call, args.path)
    if not now.exists:
        raise ToolFailed(f"there is no file {args.path!r} to delete")
    former, unshown = former_text(call, args.path, now)
    return Preview(
        effect=f"Would delete {args.path} ({now.size} bytes, mode {now.mode}).{unshown}{not_tried(call, args.path)}",
        output=json_of(info_of(args.path, now)),
        observed=now.model_dump(mode="json"),
        undo=f"Restore the {now.size} bytes and mode {now.mode}.",
        leaves=left(args.path, ABSENT),
        former=former,
    )


@file_delete.compensate
def undo(_args: FileDelete, call: ToolCall) -> None:
    """Restore the file with its bytes and mode; a file that another program created there since is left alone."""
    undo_change(call)


@file_delete.undo_check
def look_at_undo_of_delete(_args: FileDelete, call: ToolCall) -> Preview:
    """Check that there is still no file in its place, and that there is a backup."""
    return look_at_undo(call)


@file_delete.mock
def mock(args: FileDelete, _call: ToolCall) -> FileInfo:
    """Return a small file as if it had been deleted."""
    return info_of(str(args.path), FileState.of(b"mock", 0o644))
