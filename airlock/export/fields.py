"""Field types and base class of the exported models. Every text is ASCII, every time UTC, every share 0.0 to 1.0."""

from datetime import UTC, datetime
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

SCHEMA_VERSION: Final = 1
"""Version of every line, and of the documents but the summary: fields were only added since."""
NEWEST_VERSION: Final = 2
"""Version of the summary."""


def _no_truth(value: object) -> object:
    """Refuse true in the place of 1: they are equal in Python, and different in JSON."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def _utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


Version1 = Annotated[Literal[1], BeforeValidator(_no_truth)]
Version2 = Annotated[Literal[1, 2], BeforeValidator(_no_truth)]
"""The version of a summary, which files of an earlier Airlock have at 1."""
Hash = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Score = Annotated[float, Field(ge=0, le=100)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Time = Annotated[AwareDatetime, AfterValidator(_utc)]


class ExportedModel(BaseModel):
    """Object in an exported file: values are not converted, and an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def is_absent(value: object) -> bool:
    """Return True if a field has no value. Such a field came later, and files from before stay as they are."""
    return value is None
