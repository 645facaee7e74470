"""A compiled condition: CEL, checked before it is used, and answered with "unknown" where a value is not known yet."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final

from airlock.admission.rules.condition_errors import in_words
from airlock.admission.rules.evaluation_cost import Shape, Sizes, shape_of, too_large
from airlock.admission.rules.rule import MAX_CONDITION
from airlock.admission.rules.tokens import (
    MACROS,
    TYPES,
    Read,
    Token,
    bound,
    calls,
    deepest_bracket,
    deepest_macro,
    reads,
    slow_match,
    tokens,
)
from airlock.base.text import listed, shorten

if TYPE_CHECKING:
    import cel

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "step": (
        "id", "tool", "agent", "args", "risk", "reversibility", "read_only", "resources", "confidence", "cost",
    ),
    "plan": ("plan_id", "goal", "requested_by", "steps", "tools", "agents"),
}  # fmt: skip
"""The variables of a condition, and their fields."""
FUNCTIONS: Final = (MACROS - {"map"}) | {
    "has", "size", "contains", "startsWith", "endsWith", "matches", "type", "dyn",
    "int", "uint", "double", "string", "bytes", "bool", "timestamp", "duration",
    "getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear",
    "getHours", "getMinutes", "getSeconds", "getMilliseconds",
}  # fmt: skip
"""The functions that a condition may call. None reads a clock or anything outside its arguments.

`map` is not among them: of two arguments of an agent it could make gigabytes."""
MAX_TOKENS: Final = 500
MAX_BRACKETS: Final = 30
"""Brackets inside each other; the parser gives up at about 60."""
_UNKNOWN: Final = "unknown_value.x"
"""Stands in the place of a value that is not known: CEL answers with an error, unless the rest decides without it."""
_MAX_ERROR: Final = 200
_NOT_OUTSIDE_TEXTS: Final = "'\"\\`"
_CLOSED: Final = "@"
"""Begins the names that the parser gives to what it makes of macros."""


class BadCondition(ValueError):
    """A condition that cannot be used; the text says why and what to change."""


@dataclass(frozen=True)
class Answer:
    """The answer of a condition."""

    applies: bool
    unknown: tuple[str, ...] = ()
    """The values that would decide; empty if they are all known."""
    error: str = ""
    """The error, if there is no answer."""

    @property
    def certain(self) -> bool:
        """True if the condition is known to be true or false."""
        return not self.unknown and not self.error


@dataclass(frozen=True)
class Condition:
    """A condition that was checked."""

    text: str
    program: "cel.Program" = field(compare=False, repr=False)
    reads: tuple[Read, ...] = ()
    """The fields that it reads, `step.args.amount` for example; it may not come to all of them."""
    shape: Shape = field(default_factory=Shape)

    @cached_property
    def fields(self) -> frozenset[tuple[str, str]]:
        """The fields of the variables that it reads."""
        return frozenset((read.path[0], read.path[1]) for read in self.reads)

    def require_truth(self) -> None:
        """Require a condition that reads no field to be true or false.

        Raises:
            BadCondition: If it gives something else, or an error.
        """
        if self.reads:
            return
        import cel

        if (found := _evaluated(self.program, cel.Context({}), self.text)).error:
            raise BadCondition(f"is the same for every step, and {found.error}")

    def answer(self, context: "cel.Context", unknown: Collection[tuple[str, ...]], sizes: Sizes) -> Answer:
        """Return the answer of the condition. A value with which it would take too long counts as not known.

        Args:
            context: The variables, without the values that are not known.
            unknown: The places of these, such as `("step", "args", "amount")`.
            sizes: The sizes of the others.
        """
        large = set(too_large(self.shape, self.reads, sizes)) if self.shape.loops or self.shape.sums else set()
        without = tuple(
            at for at, read in enumerate(self.reads) if at in large or any(read.reads(place) for place in unknown)
        ) if unknown or large else ()  # fmt: skip
        if not without:
            return _evaluated(self.program, context, self.text)
        answer = _evaluated(_without(self, without), context, self.text)
        if answer.certain:
            return answer  # the rest decides, whatever these values are
        names = dict.fromkeys(".".join(self.reads[at].path) for at in without)
        return Answer(applies=False, unknown=tuple(names))


def compiled(text: str) -> Condition:
    """Return a condition that can be answered.

    Raises:
        BadCondition: If it is no CEL, too large, or names something that is not there.
    """
    if len(text) > MAX_CONDITION:
        raise BadCondition(f"has {len(text)} characters: write at most {MAX_CONDITION}")
    found = tokens(text)
    _require_small(found)
    program = _program(text)
    local, used = bound(found), reads(found)
    _require_known_names(program, calls(found), local, used)
    of_fields = tuple(read for read in used if read.path[0] in FIELDS)
    return Condition(text, program, of_fields, shape_of(found, of_fields))


def _require_small(found: tuple[Token, ...]) -> None:
    if any(token.kind == "sign" and token.text in _NOT_OUTSIDE_TEXTS for token in found):
        raise BadCondition("has a quotation mark or a backslash that belongs to no text: close the text, or take it out")
    if len(found) > MAX_TOKENS:
        raise BadCondition(f"has {len(found)} words and signs: write at most {MAX_TOKENS}, or make several rules of it")
    if deepest_bracket(found) > MAX_BRACKETS:
        raise BadCondition(f"nests more than {MAX_BRACKETS} brackets: make it flatter, or make several rules of it")
    if deepest_macro(found) > 1:
        raise BadCondition("goes through one list inside another, which takes too long on large arguments: take one list")
    if problem := slow_match(found):
        raise BadCondition(problem)


def _require_known_names(program: "cel.Program", called: Iterable[str], local: frozenset[str], used: Iterable[Read]) -> None:
    if taken := sorted(local & FIELDS.keys()):
        raise BadCondition(f"gives the name {taken[0]!r} to the elements of a list: choose another name")
    for read in used:
        if read.path[0] not in local:
            _require_field(read.path)
    for function in called:
        if function not in FUNCTIONS:
            raise BadCondition(f"calls {function!r}, which is no function here: there are {_listed(sorted(FUNCTIONS))}")
    known = local | FIELDS.keys()
    for name in program.variables():
        if not name.startswith(_CLOSED) and name not in known and name not in TYPES:
            raise BadCondition(f"names {name!r}, which is no variable: there are {listed(sorted(FIELDS))}")


def _require_field(path: tuple[str, ...]) -> None:
    name = path[0]
    if name not in FIELDS:
        raise BadCondition(f"names {name!r}, which is no variable: there are {listed(sorted(FIELDS))}")
    if len(path) == 1:
        raise BadCondition(f"reads {name!r} as a whole: name one of its fields, {_listed(FIELDS[name])}")
    if path[1] not in FIELDS[name]:
        raise BadCondition(f"names {'.'.join(path[:2])!r}: {name} has the fields {_listed(FIELDS[name])}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


@lru_cache(maxsize=1_024)
def _program(text: str) -> "cel.Program":
    try:
        import cel  # a tenth of a second, which no process without rules spends
    except ModuleNotFoundError as error:
        raise BadCondition("needs an extra: pip install 'airlock-temporal[rules]'") from error
    try:
        return cel.compile(text)
    except ValueError as error:
        raise BadCondition(f"is no CEL expression: {_first_line(error)}") from error
    except BaseException as error:
        if _stops_the_program(error):
            raise
        raise BadCondition(f"is no CEL expression: {_first_line(error)}") from error


def _without(condition: Condition, without: tuple[int, ...]) -> "cel.Program | None":
    """Return the condition with something in the place of some values of which CEL knows no more than that they exist."""
    text, end = "", 0
    for at in without:
        read = condition.reads[at]
        text, end = text + condition.text[end : read.start] + _UNKNOWN, read.end
    try:
        return _program(text + condition.text[end:])
    except BadCondition:
        return None


def _evaluated(program: "cel.Program | None", context: "cel.Context", text: str) -> Answer:
    if program is None:
        return Answer(applies=False, error="it cannot be evaluated without them")
    try:
        result: Any = program.execute(context)
    except BaseException as error:
        if _stops_the_program(error):
            raise
        return Answer(applies=False, error=in_words(error, text))
    if not isinstance(result, bool):
        return Answer(applies=False, error=f"it is no condition: it gives {type(result).__name__}, not true or false")
    return Answer(applies=result)


def _stops_the_program(error: BaseException) -> bool:
    # a defect of the library comes as a BaseException: it is an error of this rule, and no reason to stop the worker
    return isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit | MemoryError)


def _first_line(error: BaseException) -> str:
    lines = str(error).replace("<input>:", "").splitlines() or [""]
    shown = next((line for line in lines if "ERROR" in line), lines[0])
    return shorten(shown.rpartition("ERROR: ")[2], _MAX_ERROR)
