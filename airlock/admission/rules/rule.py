"""A rule of the policy: a condition in CEL, and what it does to the steps that it fits."""

from typing import Final

from pydantic import Field, field_validator

from airlock.base.model import FileModel
from airlock.plans.applied_rule import Consequence, Effect, consequence

MAX_RULES: Final = 200
"""The most rules of one policy."""
MAX_CONDITION: Final = 2_000
"""The most characters of one condition."""
MAX_TOGETHER: Final = 60_000
"""The most characters of all conditions and reasons: the history of every plan holds the policy."""
MAX_REASON: Final = 300
"""The most characters of the reason, which previews show."""


class Rule(FileModel):
    """One `[[policy.rule]]`. Every rule is looked at for every step; their order means nothing."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")
    """The name of the rule, which previews, seals and refusals show."""
    when: str = Field(min_length=1, max_length=MAX_CONDITION)
    """The condition, a CEL expression over `step` and `plan` that is true or false."""
    then: str
    """`deny`, `ask(2)`, `ask(2, "finance")` or `allow`."""
    reason: str = Field(default="", max_length=MAX_REASON)
    """Shown to people beside the rule's id."""

    @field_validator("then")
    @classmethod
    def _meaning(cls, value: str) -> str:
        consequence(value)
        return value

    @property
    def consequence(self) -> Consequence:
        """The meaning of `then`."""
        return consequence(self.then)

    @property
    def effect(self) -> Effect:
        """The effect on a step that fits."""
        return self.consequence.effect
