"""The states of files that the dry runs of one plan hand from step to step."""

import os

from airlock.plans.own_steps import Left
from airlock.plans.refs import UNKNOWN
from airlock.plans.tool_call import ToolCall
from airlock.tools.files.folder import FileState, folder_of, parents, place, state_of


def state_before(call: ToolCall, path: str) -> FileState:
    """Return the state in which a live call would find a file: as an earlier step of the plan leaves it, or as it is.

    Raises:
        ToolFailed: If the path leads out of the folder, or the file cannot be read.
    """
    target = place(folder_of(call.settings), path)
    earlier = call.earlier(file_name(path))
    return state_of(target) if earlier is None else FileState.model_validate(earlier.seen)


def not_tried(call: ToolCall, path: str) -> str:
    """Return a sentence for the approver if this worker may not write where the file is; the live worker may.

    A dry run leaves nothing behind, so unlike a change of a row it cannot be tried.
    """
    root = folder_of(call.settings)
    above = [root / parent for parent in parents(path)]
    nearest = next((folder for folder in above if folder.is_dir()), root)
    if all(os.access(folder, os.W_OK | os.X_OK) for folder in (root, nearest)):
        return ""
    return " Whether it can be written was not tried: this worker may only read there."


def left(path: str, state: FileState | None) -> dict[str, Left]:
    """Return what a dry run says that its call leaves; without a state, that only the live run will know it."""
    return {file_name(path): Left(seen=UNKNOWN if state is None else state.model_dump(mode="json"))}


def file_name(path: str) -> str:
    """Return the name under which the file tools know a file."""
    return f"file:{path}"
