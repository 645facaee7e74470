"""Settings, arguments and outputs of the database tools. Nothing here needs SQLAlchemy, which takes long to import."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, JsonValue, model_validator
from typing_extensions import TypedDict

from airlock.tools.common import Arguments, Settings, Texts, frozen_description


class DatabaseSettings(Settings):
    """The section `[settings.database]`."""

    section: ClassVar[str] = "database"
    url: str = ""
    """Any SQLAlchemy URL."""
    password_secret: str = ""
    """The name of the secret that holds the password, if the URL has none."""
    tables: Texts = ()
    """The tables that plans may use, `schema.table` outside the default schema. Empty, every table there but the ledger."""
    version_column: str = "row_version"
    """The column that every update increments, in the tables that have it."""
    busy_timeout: float = 10.0
    """Seconds that SQLite and PostgreSQL wait for a lock of another writer."""


class DatabaseWrite(Arguments):
    """One row to write."""

    table: Annotated[str, Field(min_length=1, description="the table to write to")]
    operation: Annotated[Literal["insert", "update", "delete"], Field(description="what to do with the row")] = "insert"
    row: Annotated[
        dict[str, JsonValue],
        Field(description="values by column: of the new row, or what to change", default_factory=dict),
    ]
    where: Annotated[
        dict[str, str | int | float | bool | None],
        Field(
            description="for update and delete: the primary key of the row, or columns that are unique", default_factory=dict
        ),
    ]

    @model_validator(mode="after")
    def _fits_operation(self) -> Self:
        if bool(self.where) == (self.operation == "insert"):
            raise ValueError(f"{self.operation} takes {'no `where`' if self.where else '`where`'}")
        if bool(self.row) == (self.operation == "delete"):
            raise ValueError(f"{self.operation} takes {'no `row`' if self.row else '`row`'}")
        return self


class Written(TypedDict):
    """The row after the call, with the values that the database added; the former row of a delete."""

    table: str
    operation: str
    row: dict[str, JsonValue]


class DatabaseQuery(Arguments):
    """The rows to read."""

    model_config = frozen_description("Which rows to read.")

    table: Annotated[str, Field(min_length=1, description="the table or view to read")]
    columns: Annotated[tuple[str, ...], Field(description="the columns to return; all when empty")] = ()
    where: Annotated[
        dict[str, str | int | float | bool | None],
        Field(description="values the columns must equal; null matches NULL", default_factory=dict),
    ]
    order_by: Annotated[tuple[str, ...], Field(description="columns to sort by; `-name` sorts downwards")] = ()
    limit: Annotated[int, Field(ge=1, le=1_000, description="the most rows to return")] = 100


class Rows(TypedDict):
    """The rows found."""

    table: str
    rows: list[dict[str, JsonValue]]
    count: int
    """The number of returned rows."""
