"""The two base classes of every model: files that people write, and messages that programs exchange."""

from pydantic import BaseModel, ConfigDict


class FileModel(BaseModel):
    """Something a person writes: an unknown field is an error, because it is probably a typing mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def is_empty(value: object) -> bool:
    """Return True if a field has nothing in it.

    The `exclude_if` of fields that came after 0.1: without them, what 0.1 wrote keeps its digest and its form.
    """
    return not value


class WireModel(BaseModel):
    """Something that crosses a process boundary: unknown fields are ignored, so that a newer sender still gets through."""

    model_config = ConfigDict(extra="ignore", frozen=True)
