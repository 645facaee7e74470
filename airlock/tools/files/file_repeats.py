"""The dry run of a file call that was made before, under the same plan id and step."""

from airlock.base.errors import ToolFailed
from airlock.plans.tool_call import Preview, ToolCall
from airlock.tools.common import json_of
from airlock.tools.files.backups import after_change, made_before
from airlock.tools.files.folder import info_of

HAS_ONE = " The folder has a call under this plan id and step already."


def repeated(call: ToolCall, path: str, content: bytes | None, mode: int | None = None) -> Preview | None:
    """Return the preview of a call that was made before, under the same plan id and step; None if it was not.

    Raises:
        ToolFailed: If another call was made under them: the live call would be refused.
    """
    made = made_before(call)
    if made is None:
        return None
    if (made.path, made.after) != (path, after_change(made.before, content, mode)):
        raise ToolFailed(f"{HAS_ONE.strip()} It was another call: use a new plan_id")
    state = made.before if content is None else made.after
    effect = f"Would change nothing.{HAS_ONE} To make it once more, use a new plan_id."
    return Preview(effect=effect, output=json_of(info_of(path, state)), undo="Take back what the earlier call did.")
