"""The two base classes of all models: files that people write, and messages that programs exchange."""

from pydantic import BaseModel, ConfigDict


class FileModel(BaseModel):
    """Part of a file that a person writes: an unknown field is an error, because it is probably a typing mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class WireModel(BaseModel):
    """Part of a message between processes: unknown fields are ignored, so that a newer sender is understood."""

    model_config = ConfigDict(extra="ignore", frozen=True)
