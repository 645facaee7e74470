"""`file_write`: one whole file in the operator's folder."""

import base64
import binascii
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from airlock.base.errors import ToolFailed
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.tools.common import Arguments, fits, frozen_description, json_of
from airlock.tools.files.backups import after_change, change_file, look_at_undo, made_before, undo_change
from airlock.tools.files.file_repeats import HAS_ONE, repeated
from airlock.tools.files.file_states import left, not_tried, state_before
from airlock.tools.files.folder import ABSENT, FileInfo, FileSettings, RelativePath, info_of
from airlock.tools.files.former_text import former_text

MAX_CONTENT = 1_000_000

Content = Annotated[str | None, Field(max_length=MAX_CONTENT)]


class FileWrite(Arguments):
    """A path and the content to write; exactly one of `content` and `content_base64`."""

    model_config = frozen_description("What to write, and where; exactly one of `content` and `content_base64`.")

    path: RelativePath
    content: Annotated[Content, Field(description="the whole content, as text (UTF-8)")] = None
    content_base64: Annotated[Content, Field(description="the whole content, as base64, for bytes")] = None
    mode: Annotated[
        str | None,
        Field(
            pattern=r"^0?[0-7]{3}$",
            description="permissions in octal, such as '640'; without it a file keeps its mode and a new one gets 644",
        ),
    ] = None

    @model_validator(mode="after")
    def _one_content(self) -> Self:
        if (self.content is None) == (self.content_base64 is None):
            raise ValueError("give exactly one of content and content_base64")
        return self


@tool(
    name="file_write",
    risk="MEDIUM",
    reversibility="reversible",
    permissions={"files:write"},
    resources=["file:{path}"],
    timeout=30,
    idempotent=True,
    settings=FileSettings,
)
def file_write(args: FileWrite, call: ToolCall) -> FileInfo:
    """Write a file in the operator's folder, creating the folders above it."""
    return info_of(args.path, change_file(call, args.path, _bytes(args), _mode(args)).after)


@file_write.dry_run(partial=True)
def look(args: FileWrite, call: ToolCall) -> Preview:
    """Check that the path can be written, and read the state of the present file."""
    if args.path == UNKNOWN:
        return Preview(effect="Would write a file whose name is known after live.", undo="Restore the former file.")
    known = UNKNOWN not in (args.content, args.content_base64)
    if known and (earlier := repeated(call, args.path, _bytes(args), _mode(args))) is not None:
        return earlier
    now = state_before(call, args.path)
    verb = f"replace {now.size} bytes (mode {now.mode}) of" if now.exists else "create"
    undo = f"Restore the {now.size} bytes and mode {now.mode}." if now.exists else "Remove the file again."
    output: dict[str, Any] = {"path": args.path, "bytes": UNKNOWN, "sha256": UNKNOWN}
    size, leaves = "content known after live", left(args.path, None)
    former, unshown = former_text(call, args.path, now, len(_bytes(args)) if known else 0)
    if known:
        after = after_change(now, _bytes(args), _mode(args))
        output |= info_of(args.path, after)
        size, leaves = f"{after.size} bytes, mode {after.mode}", left(args.path, after)
    effect = f"Would {verb} {args.path} ({size}).{unshown}{not_tried(call, args.path)}"
    if not known and made_before(call) is not None:
        effect += HAS_ONE
    observed = now.model_dump(mode="json")
    return Preview(effect=effect, output=json_of(output), observed=observed, undo=undo, leaves=leaves, former=former)


@file_write.compensate
def undo(_args: FileWrite, call: ToolCall) -> None:
    """Restore the file, its mode and the folders above it; a file that another program changed is left alone."""
    undo_change(call)


@file_write.undo_check
def look_at_undo_of_write(_args: FileWrite, call: ToolCall) -> Preview:
    """Check that the file is still as this call left it."""
    return look_at_undo(call)


@file_write.mock
def mock(args: FileWrite, _call: ToolCall) -> FileInfo:
    """Return the size and the hash of the content."""
    known = fits(args) and UNKNOWN not in (args.content, args.content_base64)
    return info_of(str(args.path), after_change(ABSENT, _bytes(args) if known else b""))


def _bytes(args: FileWrite) -> bytes:
    if args.content is not None:
        return args.content.encode()
    try:
        return base64.b64decode(args.content_base64 or "", validate=True)
    except binascii.Error as error:
        raise ToolFailed(f"content_base64 is not base64: {error}") from error


def _mode(args: FileWrite) -> int | None:
    return None if args.mode is None else int(args.mode, 8)
