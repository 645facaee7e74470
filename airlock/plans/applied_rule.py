"""The effect of a rule of the policy, and the rules that applied to one step."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydantic import Field

from airlock.base.model import WireModel, is_empty
from airlock.base.text import count

MAX_ASKED: Final = 50
"""The most approvals that one rule may ask for."""
_ASK: Final = re.compile(r'ask\(\s*(?P<number>[0-9]{1,3})\s*(?:,\s*(?P<quote>["\'])(?P<role>[^"\']*)(?P=quote)\s*)?\)')


class Effect(StrEnum):
    """The effect of a rule on a step. Deny beats ask, and ask beats allow, in whatever order the rules stand."""

    DENY = "deny"
    ASK = "ask"
    ALLOW = "allow"


@dataclass(frozen=True)
class Consequence:
    """The part `then` of a rule."""

    effect: Effect
    approvals: int = 0
    """The approvals that an `ask` wants."""
    role: str = ""
    """The role of the people who may give them; empty for every approver."""


def consequence(then: str) -> Consequence:
    """Return the meaning of the text `then` of a rule.

    Raises:
        ValueError: If it is none of `deny`, `allow`, `ask(2)` and `ask(2, "finance")`.
    """
    text = then.strip()
    if text in (Effect.DENY, Effect.ALLOW):
        return Consequence(Effect(text))
    found = _ASK.fullmatch(text)
    if found is None:
        raise ValueError('must be "deny", "allow", "ask(2)" or "ask(2, \'finance\')"')
    number = int(found["number"])
    if not 1 <= number <= MAX_ASKED:
        raise ValueError(f"asks for {number} approvals: ask for 1 to {MAX_ASKED}")
    if found["role"] == "":
        raise ValueError("names an empty role: name one of policy.roles, or none at all")
    return Consequence(Effect.ASK, number, found["role"] or "")


class AppliedRule(WireModel):
    """A rule that applied to a step. The operator's reason for it stands once in a plan, not at each step."""

    rule: str
    """The id of the rule."""
    then: str
    unknown: tuple[str, ...] = Field(default=(), exclude_if=is_empty)
    """The values that its condition reads and that are not known yet: it may apply, and counts as if it did."""
    error: str = Field(default="", exclude_if=is_empty)
    """The error of its condition, which could not be evaluated: it counts as if it applied."""

    @property
    def consequence(self) -> Consequence:
        """The meaning of `then`; a denial if this version does not know it."""
        try:
            return consequence(self.then)
        except ValueError:
            return Consequence(Effect.DENY)

    @property
    def effect(self) -> Effect:
        """The effect on the step."""
        return self.consequence.effect

    @property
    def sentence(self) -> str:
        """One sentence: what the rule does, its id, and why, if that is not plain from its condition."""
        doubt = ""
        if self.error:
            doubt = f"; its condition failed: {self.error}"
        elif self.unknown:
            doubt = f"; not known yet: {', '.join(self.unknown)}"
        return f"{self._does} (rule {self.rule}{doubt})"

    @property
    def _does(self) -> str:
        meaning = self.consequence
        match meaning.effect:
            case Effect.DENY:
                return "the policy may deny it" if self.unknown else "the policy denies it"
            case Effect.ASK:
                return f"{'may need' if self.unknown else 'needs'} {asked(meaning)}"
            case Effect.ALLOW:
                return "the policy allows it"


def asked(meaning: Consequence) -> str:
    """Return what an `ask` wants, such as "2 approvals of finance"."""
    return count(meaning.approvals, "approval") + (f" of {meaning.role}" if meaning.role else "")


def with_reason(rule: AppliedRule, reasons: Mapping[str, str]) -> str:
    """Return what a rule does, with the operator's reason if there is one."""
    reason = reasons.get(rule.rule)
    return f"{rule.sentence}: {reason}" if reason else rule.sentence


def with_effect(rules: Iterable[AppliedRule], effect: Effect) -> tuple[AppliedRule, ...]:
    """Return the rules with one effect, in the order of their ids."""
    return tuple(sorted((rule for rule in rules if rule.effect is effect), key=lambda rule: rule.rule))
