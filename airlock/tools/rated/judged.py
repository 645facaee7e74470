"""Answers that say that a call failed, though the system behind the tool does not mark them as errors."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airlock.base.errors import InDoubt, ToolFailed
from airlock.base.text import shorten
from airlock.tools.rated.mappings import Expression
from airlock.tools.rated.session import Session, ToolSaidError

_SHOWN = 400
"""Characters of an answer that an error shows."""


@dataclass(frozen=True)
class Failure:
    """The operator's word on the answers of one tool that say that it failed."""

    when: Expression
    """Over `args` and `answer`: true for such an answer."""
    no_effect: bool
    """True if a call that is answered so has done nothing; False leaves it to what errors of the tool mean."""


@dataclass(frozen=True)
class JudgedSession:
    """A session whose answers are looked at as the operator's entries say."""

    inner: Session
    failures: Mapping[str, Failure]

    async def output(self, tool: str, args: Mapping[str, Any], **how: Any) -> Any:
        """Call a tool once, and return its answer; the errors are those of `Session.output`."""
        answer = await self.inner.output(tool, args, **how)
        failure = self.failures.get(tool)
        if failure is None:
            return answer
        try:
            failed = failure.when.search({"args": args, "answer": answer})
        except ToolFailed as error:
            if how.get("writes"):
                raise InDoubt(f"{tool} has answered, and whether it failed cannot be told: {error}") from error
            raise
        if failed is not True:
            return answer
        said = f"{tool}: its answer says that it failed: {shorten(json.dumps(answer, ensure_ascii=False), _SHOWN)}"
        raise ToolFailed(said) if failure.no_effect and how.get("writes") else ToolSaidError(said)
