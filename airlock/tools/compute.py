"""`math_compute`: one arithmetic expression, evaluated within bounds and without executing code."""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import Field
from simpleeval import InvalidExpression, SimpleEval
from typing_extensions import TypedDict

from airlock.base.errors import ToolFailed
from airlock.plans.tool import tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.tools.common import Arguments, fits

MAX_BITS = 4_096
"""The most bits of any whole number in the computation."""

Number = int | float


class MathCompute(Arguments):
    """An expression over named numbers."""

    expression: Annotated[
        str,
        Field(
            min_length=1,
            max_length=500,
            description="such as `round(seats * price * 1.21, 2)`: + - * / // % **, comparisons, `a if b else c`, "
            "abs ceil exp floor log log10 max min round sqrt sum, pi, e",
        ),
    ]
    variables: Annotated[dict[str, int | float], Field(max_length=100, description="numbers by name", default_factory=dict)]


class Result(TypedDict):
    """The value of the expression; a float is finite."""

    result: int | float


@tool(name="math_compute", risk="LOW", reversibility="read_only", timeout=10, idempotent=True)
def math_compute(args: MathCompute, _call: ToolCall) -> Result:
    """Compute an arithmetic expression."""
    return {"result": evaluate(args.expression, args.variables)}


@math_compute.dry_run
def look(args: MathCompute, _call: ToolCall) -> Preview:
    """Compute the expression: this changes nothing."""
    result = evaluate(args.expression, args.variables)
    return Preview(effect=f"Would compute {args.expression} = {result}.", output={"result": result})


@math_compute.mock
def mock(args: MathCompute, _call: ToolCall) -> Result:
    """Return the result; 1 if mocked variables give none, such as a divisor of 0."""
    try:
        return {"result": evaluate(args.expression, args.variables) if fits(args) else 1}
    except ToolFailed:
        return {"result": 1}


def evaluate(expression: str, variables: Mapping[str, Number]) -> Number:
    """Return the value of an expression.

    Raises:
        ToolFailed: If the text is not an arithmetic expression, or its value is not a number within bounds.
    """
    evaluator = SimpleEval(operators=_OPERATORS, functions=_FUNCTIONS, names={**_CONSTANTS, **variables}, allowed_attrs={})
    for node in [node for node in evaluator.nodes if node not in _NODES]:
        del evaluator.nodes[node]
    try:
        tree = ast.parse(expression.strip(), mode="eval")
        _only_numbers(tree)
        result = evaluator.eval(expression, previously_parsed=tree.body)
    except (SyntaxError, InvalidExpression) as error:
        raise ToolFailed(f"{expression!r} is not an expression this tool computes: {error}") from error
    except (ArithmeticError, ValueError, TypeError) as error:
        raise ToolFailed(f"{expression!r} has no value: {error}") from error
    except (RecursionError, MemoryError) as error:
        raise ToolFailed("the expression is nested too deeply") from error
    if isinstance(result, bool) or not isinstance(result, int | float) or not math.isfinite(result):
        raise ToolFailed(f"{expression!r} is not a finite number: {result!r}")
    value: Number = _bounded(result)
    return value


def _only_numbers(tree: ast.AST) -> None:
    """Refuse text: it could be multiplied or formatted into gigabytes, and arithmetic needs none."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and not isinstance(node.value, int | float):
            raise TypeError(f"{node.value!r} is not a number")


def _bounded(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise OverflowError(f"a number has more than {MAX_BITS} bits")
    return value


def _power(base: Number, exponent: Number) -> Any:
    """Return `base ** exponent`; refuse it before the computation if the result would be too large."""
    if isinstance(base, int) and isinstance(exponent, int) and base.bit_length() * abs(exponent) > MAX_BITS:
        raise OverflowError(f"a number has more than {MAX_BITS} bits")
    return base**exponent


def _round(value: Number, digits: int = 0) -> Number:
    if abs(digits) > 100:
        raise ValueError("round takes at most 100 digits")
    return round(value, digits) if digits else round(value)


def _sum(*values: Number) -> Number:
    return sum(values)


def _checked(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *values: _bounded(function(*values))


_NODES = (
    ast.Expr, ast.Constant, ast.Name, ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.Call,
)  # fmt: skip
_CONSTANTS: dict[str, Number] = {"pi": math.pi, "e": math.e}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs, "ceil": math.ceil, "exp": math.exp, "floor": math.floor, "log": math.log, "log10": math.log10,
    "max": max, "min": min, "round": _round, "sqrt": math.sqrt, "sum": _sum,
}  # fmt: skip
_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: _checked(operator.add),
    ast.Sub: _checked(operator.sub),
    ast.Mult: _checked(operator.mul),
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
