"""Wrong values on a command line, told in the words of its reader instead of those of pydantic."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any, get_args

import typer
from pydantic import ValidationError
from typer.core import TyperCommand

from airlock.base.errors import plain_message
from airlock.base.likely import likely
from airlock.base.text import shorten

_SHOWN = 60
"""Characters of a wrong value that a message repeats."""


class PlainCommand(TyperCommand):
    """A command that names the values and the range which an option takes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; raises an error in plain words for a wrong one."""
        with plainly():
            return super().parse_args(ctx, args)


@contextmanager
def plainly() -> Iterator[None]:
    """Reword the error of a wrong value that the block raises."""
    try:
        yield
    except typer.BadParameter as error:
        error.message = _message(error)
        raise


def _message(error: typer.BadParameter) -> str:
    plain = plain_message({"msg": error.message})
    cause = error.__cause__
    if not isinstance(cause, ValidationError):
        return plain
    item = cause.errors(include_url=False)[0]
    given = shorten(repr(str(item["input"])), _SHOWN)
    if wanted := _number(error.param):
        return f"{given} is not {wanted}"
    if choices := _choices(error.param):
        meant = likely(str(item["input"]), choices)
        return f"{given} is not one of: {', '.join(choices)}" + (f". Did you mean {meant!r}?" if meant else "")
    return plain


def _number(option: Any) -> str:
    """Return the numbers that an option takes, in words; empty for one that takes no number."""
    names: dict[Any, str] = {int: "a whole number", float: "a number"}
    name = names.get(_annotation(option), "")
    least, most = getattr(option, "min", None), getattr(option, "max", None)
    if not name or (least is None and most is None):
        return name
    if least is None:
        return f"{name} of at most {most:,g}"
    return f"{name} of at least {least:,g}" if most is None else f"{name} from {least:,g} to {most:,g}"


def _choices(option: Any) -> tuple[str, ...]:
    """Return the values that an option takes; empty for one that takes others as well."""
    annotation = _annotation(option)
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return tuple(str(each.value) for each in annotation)
    return tuple(each for each in get_args(annotation) if isinstance(each, str))


def _annotation(option: Any) -> Any:
    # typer does not promise this attribute: without it the message is typer's own
    return getattr(getattr(option, "type_descriptor", None), "annotation", None)
