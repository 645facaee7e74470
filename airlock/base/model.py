"""The two base classes of all models: files that people write, and messages that programs exchange."""

from pydantic import BaseModel, ConfigDict


class FileModel(BaseModel):
    """Part of a file that a person writes: an unknown field is an error, because it is probably a typing mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def is_empty(value: object) -> bool:
    """Return True if a field has nothing in it.

    The `exclude_if` of fields that came after 0.1: without them, what 0.1 wrote keeps its digest and its form.
    """
    return not value


class WireModel(BaseModel):
    """Part of a message between processes: unknown fields are ignored, so that a newer sender is understood."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class WorkerMessage:
    """A mark on what counts only when one of Airlock's workers made it: with keys, it travels with a proof of that.

    Messages of people, and what people read with Temporal's own tools, do not carry it: a payload with a proof in its
    metadata is shown by the Temporal CLI as base64.
    """
