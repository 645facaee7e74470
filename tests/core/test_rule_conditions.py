"""Conditions of rules: what is refused at the start, and what is answered while a value is not known."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airlock.admission.rules.condition import BadCondition, compiled
from airlock.admission.rules.rule import MAX_CONDITION, Rule
from airlock.admission.rules.rule_set import RuleSet
from airlock.admission.rules.subject import MAX_CHARACTERS, MAX_LEVELS, MAX_VALUES, PlanSubject, StepSubject
from airlock.admission.rules.tokens import reads, tokens
from airlock.plans.applied_rule import AppliedRule
from airlock.plans.contract import Contract, Reversibility, Risk

PLAN = PlanSubject("p-1", "a goal", "author", 2, ("mail", "pay"), ("bot",))
CONTRACT = Contract(
    tool="pay", risk=Risk.HIGH, reversibility=Reversibility.COMPENSABLE, resources=("account:{to}", "bank"), cost=2.0
)
REF = {"$ref": "first.amount"}


def applied(when: str, args: dict[str, Any], then: str = "deny", plan: PlanSubject | None = PLAN) -> AppliedRule | None:
    rules = RuleSet((Rule(id="r", when=when, then=then),))
    found = rules.applied(StepSubject("pay-1", "bot", args, 0.9, CONTRACT), plan)
    return found[0] if found else None


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("1 +", "is no CEL expression"),
        ("step.args.amount >", "is no CEL expression"),
        ("step", "reads 'step' as a whole: name one of its fields"),
        ("[step].exists(s, s.risk == 'LOW')", "reads 'step' as a whole"),
        ("step.amount > 3", "names 'step.amount': step has the fields"),
        ("plan.max_mode == 'LIVE'", "names 'plan.max_mode': plan has the fields"),
        ("policy.dry_run_only", "names 'policy', which is no variable"),
        ("step.args.a == b", "names 'b', which is no variable"),
        ("now() > timestamp('2026-01-01T00:00:00Z')", "calls 'now', which is no function here"),
        ("step.args.to.lowerAscii() == 'a'", "calls 'lowerAscii', which is no function here"),
        ("step.args.l.map(x, x + x).size() > 1", "calls 'map', which is no function here"),
        ("step.args.l.exists(x, step.args.m.exists(y, x == y))", "goes through one list inside another"),
        ("step.args.l.all(x, x.matches('^[a-z]{1,64}$'))", "calls matches() for each element of a list"),
        ("step.args.l.exists(x, [1, (x.matches('a') ? 1 : 2)] == [1, 1])", "calls matches() for each element of a list"),
        ("step.args.to.matches(step.args.pattern)", "a pattern that is not one text in quotes"),
        ("step.args.to.matches('a' + step.args.pattern)", "a pattern that is not one text in quotes"),
        ("matches(step.args.to, 'a')", "a pattern that is not one text in quotes"),
        ("step.args.to.matches()", "a pattern that is not one text in quotes"),
        ("step.args.l.exists(step, step == 1)", "gives the name 'step' to the elements"),
        ("(" * 31 + "true" + ")" * 31, "nests more than 30 brackets"),
        ("!" * 40 + "true", "nests more than 30 brackets"),
        ("-" * 40 + "1 == 1", "nests more than 30 brackets"),
        ("+".join(["1"] * 300), "has 599 words and signs"),
        ("x" * (MAX_CONDITION + 1), f"has {MAX_CONDITION + 1} characters"),
        ("step.args.to == 'open", "has a quotation mark or a backslash that belongs to no text"),
        ("step.args.to == `a`", "has a quotation mark or a backslash that belongs to no text"),
        ("stęp.args.to == 'a'", "is no CEL expression"),
        ("Thing{a: 1} == 1", "names 'Thing', which is no variable"),
        ("optional.of(1).hasValue()", "names 'optional', which is no variable"),
        ("unknown_value.x", "names 'unknown_value', which is no variable"),
        (".step.args.to == 'a'", "names '.step', which is no variable"),
        ("__result__ == 1", "names '__result__', which is no variable"),
    ],
)
def test_a_condition_that_cannot_be_used_is_refused_before_any_plan(condition, words):
    with pytest.raises(BadCondition) as caught:
        compiled(condition)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("condition", "paths"),
    [
        ("step.args.row.amount > 1", [("step", "args", "row", "amount")]),
        ("step . args [ 'row' ] . amount > 1", [("step", "args", "row", "amount")]),
        ("step.args.rows[0].amount > 1", [("step", "args", "rows")]),
        ("step.args[step.tool] == 1", [("step", "args"), ("step", "tool")]),
        ("step.args.to.endsWith('step.risk')", [("step", "args", "to")]),
        ("has(step.args.to) // step.risk\n && true", [("step", "args", "to")]),
        (r"r'\' == step.args.to || 'b' == step.args.b", [("step", "args", "to"), ("step", "args", "b")]),
        (r"'\'step.risk' == step.args.to", [("step", "args", "to")]),
        ('"""a"b""" == step.args.to', [("step", "args", "to")]),
        ("step.resources.exists(r, r == step.tool)", [("step", "resources"), ("r",), ("step", "tool")]),
    ],
)
def test_everything_that_a_condition_reads_is_found(condition, paths):
    assert [read.path for read in reads(tokens(condition)) if read.path != ("r",)] == [p for p in paths if p != ("r",)]
    compiled(condition)


@pytest.mark.parametrize(
    ("condition", "args", "expected"),
    [
        ("step.args.amount > 1000", {"amount": 1000.5}, True),
        ("step.args.amount > 1000", {"amount": 1000}, False),
        ("step.args.to == 'Zoë'", {"to": "Zoë"}, True),
        ("step.risk == 'HIGH' && step.reversibility == 'compensable' && !step.read_only", {}, True),
        ("step.tool in plan.tools && plan.steps == 2 && 'bot' in plan.agents", {}, True),
        ("step.resources == ['account:jo', 'bank'] && step.cost == 2.0", {"to": "jo"}, True),
        ("step.confidence < 0.95 && step.agent == 'bot' && step.id == 'pay-1'", {}, True),
        ("plan.requested_by == 'author' && plan.goal.contains('goal') && plan.plan_id == 'p-1'", {}, True),
        ("has(step.args.note)", {}, False),
        ("step.args.tags.exists(t, t.startsWith('x'))", {"tags": ["a", "xy"]}, True),
    ],
)
def test_a_condition_over_known_values_is_true_or_false(condition, args, expected):
    assert (applied(condition, args) is not None) is expected
    assert (applied(condition, args, "allow") is not None) is expected


@pytest.mark.parametrize(
    "condition",
    [
        "step.args.missing == 1",
        "step.args.to > 3",
        "step.args.to",
        "1 / 0 == 1",
        "9223372036854775807 + 1 > 0",
        "step.args.to.matches('(')",
        "step.args.list[7] == 1",
    ],
)
def test_a_condition_that_fails_denies_and_asks_but_never_allows(condition):
    args = {"to": "jo", "list": [1]}
    for then in ("deny", "ask(2)"):
        found = applied(condition, args, then)
        assert found is not None
        assert found.error
        assert "its condition failed" in found.sentence
    assert applied(condition, args, "allow") is None


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("step.args.missing == 1", "there is no 'missing'"),
        ("step.args.map[step.args.hidden] == 1", "it reads a key that is not there"),
        ("step.args.list[step.args.count] == 1", "it reads a position that the list does not have"),
        ("step.args.hidden > 3", "it compares or combines values of types that do not fit"),
        ("step.args.count + 9223372036854775807 > 0", "a number is too large"),
        ("step.args.count / 0 == 1", "it divides by zero"),
        ("duration(step.args.hidden) > duration('1h')", "duration cannot take such a value"),
        ("step.args.hidden.matches('(')", "matches cannot take such a value"),
        ("step.args.count.contains('a')", "contains cannot take such a value"),
        ("step.args.hidden", "it is no condition: it gives str, not true or false"),
    ],
)
def test_an_error_is_told_in_words_and_shows_no_value(condition, words):
    found = applied(condition, {"hidden": "hush hush", "count": 77, "list": [1], "map": {"key": 1}})
    assert found is not None
    assert found.error == words
    assert "hush" not in found.sentence
    assert "77" not in found.sentence


@pytest.mark.parametrize(
    ("condition", "may_apply"),
    [
        ("step.args.amount > 1000", True),
        ("step.args.amount == 1000", True),
        ("step.args.amount != 1000", True),
        ("has(step.args.amount)", True),
        ("!has(step.args.amount)", True),
        ("'amount' in step.args", True),
        ("size(step.args) == 0", True),
        ("step.args['amount'] == 3", True),
        ("step.args[step.id] == 3", True),
        ("step.args.exists(k, k == 'amount')", True),
        ("{'a': step.args}.a.amount == 3", True),
        ("type(step.args.amount) == string", True),
        ("step.args.amount > 1000 ? false : false", True),
        ("step.tool == 'pay' && step.args.amount > 1000", True),
        ("step.tool == 'other' && step.args.amount > 1000", False),
        ("step.args.amount > 1000 && step.tool == 'other'", False),
        ("step.args.to == 'jo' && step.tool == 'other'", False),
        ("step.args.to == 'ann'", False),
    ],
)
def test_an_unknown_value_counts_as_true_unless_the_rest_decides(condition, may_apply):
    found = applied(condition, {"to": "jo", "amount": REF})
    assert (found is not None) is may_apply
    assert applied(condition, {"to": "jo", "amount": REF}, "allow") is None
    if found is not None:
        assert found.unknown
        assert "may deny it" in found.sentence


def test_what_the_rest_decides_is_no_doubt():
    found = applied("step.risk == 'HIGH' || step.args.amount > 1000", {"amount": REF}, "allow")
    assert found is not None
    assert found.unknown == ()


@pytest.mark.parametrize(
    "value",
    [
        REF,
        {"$secret": "token"},
        "(known after live)",
        "at (KNOWN AFTER LIVE)",
        "x" * (MAX_CHARACTERS + 1),
        list(range(MAX_VALUES + 1)),
        2**63,
        {"deep": [REF]},
        "\ud800",
    ],
    ids=["reference", "secret", "unknown", "unknown in capitals", "long", "many", "large", "inside", "surrogate"],
)
def test_what_a_condition_cannot_look_at_is_not_known(value):
    found = applied("step.args.value == 'a'", {"value": value, "to": "jo"})
    assert found is not None
    assert found.unknown == ("step.args.value",)
    assert applied("step.args.to == 'ann'", {"value": value, "to": "jo"}) is None


def test_a_deeply_nested_argument_is_not_known():
    value: Any = "a"
    for _ in range(MAX_LEVELS + 5):
        value = {"a": value}
    found = applied("step.args.value.a == 'a'", {"value": value})
    assert found is not None
    assert found.unknown


def test_a_resource_that_hangs_on_an_unknown_value_is_not_known():
    found = applied("step.resources.exists(r, r == 'account:jo')", {"to": REF})
    assert found is not None
    assert found.unknown == ("step.resources",)
    assert applied("step.resources.exists(r, r == 'account:jo')", {"to": "ann", "amount": REF}) is None


def test_a_plan_that_is_not_known_counts_as_unknown():
    assert applied("plan.steps > 5", {}) is None
    found = applied("plan.steps > 5", {}, plan=None)
    assert found is not None
    assert found.unknown == ("plan.steps",)


VALUES = st.one_of(st.integers(-5, 5), st.sampled_from(["a", "b", ""]), st.booleans(), st.none(), st.just({"a": 1}))
ATOMS = st.sampled_from(
    [
        "step.args.one > 1", "step.args.one == 2", "step.args.two == 'a'", "has(step.args.one)", "has(step.args.two.a)",
        "'one' in step.args", "size(step.args) == 2", "step.args.two.a == 1",
        "step.tool == 'pay'", "step.args.two == step.args.one", "false", "true",
        "step.args.exists(k, k == 'two')", "step.risk == 'LOW'", "type(step.args.one) == int", "step.args.three == 1",
    ]
)  # fmt: skip
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        inner.map("!({})".format),
        st.tuples(inner, st.sampled_from(["&&", "||"]), inner).map(lambda parts: f"({parts[0]} {parts[1]} {parts[2]})"),
        st.tuples(inner, inner, inner).map(lambda parts: f"({parts[0]} ? {parts[1]} : {parts[2]})"),
    ),
    max_leaves=6,
)


@given(CONDITIONS, VALUES, VALUES, st.sets(st.sampled_from(["one", "two"]), min_size=1))
def test_whatever_an_unknown_value_turns_out_to_be_it_was_foreseen(condition, one, two, hidden):
    """A rule that does not deny while values are unknown does not deny once they are known, and an allow stays one."""
    known = {"one": one, "two": two}
    before = {name: REF if name in hidden else value for name, value in known.items()}
    if applied(condition, before) is None:
        assert applied(condition, known) is None
    if applied(condition, before, "allow") is not None:
        assert applied(condition, known, "allow") is not None
