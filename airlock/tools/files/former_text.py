"""The former text of a file, for the approver of a change to compare, where the operator lets previews show it."""

import os
from fnmatch import fnmatchcase

from pydantic import JsonValue

from airlock.base.errors import ToolFailed
from airlock.plans.tool_call import ToolCall
from airlock.tools.files.file_states import file_name
from airlock.tools.files.folder import FileState, folder_of, place, state_of

MAX_FORMER = 16_000
"""Bytes of a text that a preview shows."""
_MAX_BOTH = 50_000
"""Bytes of the former text and the new one: a preview that is too large would keep its call from going live."""


def former_text(call: ToolCall, path: str, now: FileState, new: int = 0) -> tuple[dict[str, JsonValue], str]:
    """Return the former text by the argument that replaces it, and a sentence for the effect where it is not shown.

    Args:
        call: The call.
        path: The file.
        now: Its state, as the call would find it.
        new: The size of the new text, in bytes.
    """
    if not now.exists or not any(fnmatchcase(path, pattern) for pattern in call.settings.show_former):
        return {}, ""
    if (earlier := call.earlier(file_name(path))) is not None:
        return {}, f" Its former text is the one of step {earlier.step}."
    if now.size > MAX_FORMER or now.size + new > _MAX_BOTH:
        return {}, " Its former text is too large to be shown."
    content = _read(call, path)
    if content is None or FileState.of(content, int(now.mode or "0", 8)) != now:
        return {}, " Its former text is not shown: the file was being changed."
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return {}, " Its former content is not text, and is not shown."
    return ({}, " Its former content is not text, and is not shown.") if "\0" in text else ({"content": text}, "")


def _read(call: ToolCall, path: str) -> bytes | None:
    target = place(folder_of(call.settings), path)
    try:
        if not state_of(target).exists:
            return None
        file = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ToolFailed):
        return None
    with os.fdopen(file, "rb") as opened:
        return opened.read(MAX_FORMER + 1)
