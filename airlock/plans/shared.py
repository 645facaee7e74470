"""Clients that many calls share: a worker opens each once, when it starts, and closes it when it stops.

@shared(settings=CrmSettings)
async def crm(opening: Opening) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=opening.settings.url) as client:
        yield client

A tool declares it with `tool(..., shared=[crm])`, and its functions get the client with `call.shared(crm)`.
"""

import inspect
import typing
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from airlock.base.errors import ContractError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Opening:
    """The context of a start hook."""

    settings: Any
    """The hook's validated settings model; None if it declares none."""
    secret: Callable[[str], str]
    """A function that resolves the name of a secret, as `ToolCall.secret` does."""


Hook = Callable[[Opening], AsyncIterator[T] | Iterator[T]]
"""A generator function that yields once: the code before is the start hook, the code after it is the stop hook."""


class Shared(Generic[T_co]):
    """Something that the calls of one worker share, created by the decorator `shared`.

    Args:
        hook: The generator function.
        settings: The model of its settings.

    Raises:
        ContractError: If the function cannot be a hook.
    """

    def __init__(self, hook: Hook[T_co], settings: type[BaseModel] | None = None) -> None:
        self.name = f"{hook.__module__}.{hook.__qualname__}"
        """The module and the function, for messages."""
        self.hook = hook
        self.settings_model = settings
        if not (inspect.isasyncgenfunction(hook) or inspect.isgeneratorfunction(hook)):
            raise ContractError(f"shared {self.name}: write a generator function, without @contextmanager, that yields once")
        if len(inspect.signature(hook).parameters) != 1:
            raise ContractError(f"shared {self.name}: it takes one parameter, the airlock.Opening")


@typing.overload
def shared(hook: Hook[T]) -> Shared[T]: ...


@typing.overload
def shared(*, settings: type[BaseModel]) -> Callable[[Hook[T]], Shared[T]]: ...


def shared(hook: Any = None, *, settings: type[BaseModel] | None = None) -> Any:
    """Declare what the calls of one worker share, from a generator function that opens it, yields it and closes it.

    A plain generator runs in a thread, an async one in the event loop of the calls.

    Args:
        hook: The function.
        settings: The model of its `[settings.<section>]`, as for `tool`.

    Raises:
        ContractError: If the function cannot be a hook.
    """
    return Shared(hook, settings) if hook is not None else lambda function: Shared(function, settings)
