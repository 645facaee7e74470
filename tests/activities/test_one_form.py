"""One form of the arguments is sealed, shown, claimed and called, for generated models, arguments and spellings."""

import asyncio
import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, create_model
from temporalio.testing import ActivityEnvironment

from airlock.activities.calls.call import CallActivities
from airlock.activities.calls.claimed_calls import in_any_spelling
from airlock.activities.rehearsals.preview import PreviewActivities
from airlock.activities.toolbox import Toolbox
from airlock.admission.call_digest import call_digest
from airlock.admission.examination import examine
from airlock.admission.policy import Policy
from airlock.base.canonical import canonical_json
from airlock.gates.protocol import ClaimWanted
from airlock.plans.arguments.canonical_args import identity
from airlock.plans.catalogue import Catalogue
from airlock.plans.plan import Plan, Step
from airlock.plans.tool import Tool, tool
from airlock.plans.tool_call import Preview, ToolCall
from airlock.run.live.call_messages import CallRequest, ChainRequest
from airlock.run.sealing.sealed import sealed_content
from airlock.wire import RehearsalRequest

POLICY = Policy.model_validate({"agents": {"*": {"permissions": ["*"]}}})
CALLED: list[BaseModel] = []


class Inner(BaseModel):
    count: int
    unit: str = "piece"


@dataclasses.dataclass(frozen=True)
class Kind:
    """A type of argument, its values, and the ways to write one of them."""

    annotation: Any
    values: st.SearchStrategy[Any]
    spellings: Callable[[Any], list[Any]]

    def typed(self, value: Any) -> Any:
        """Return a value in its type, as a model holds it."""
        return TypeAdapter(self.annotation).validate_python(self.spellings(value)[0])


def _number(value: int) -> list[Any]:
    return [value, str(value), float(value)]


def _instant(value: datetime) -> list[Any]:
    return [value.astimezone(timezone(timedelta(minutes=minutes))).isoformat() for minutes in (0, 330, -480)]


_SMALL = st.integers(-1_000, 1_000)
_WORDS = st.text("abxyzÄ ", max_size=6)
KINDS: tuple[Kind, ...] = (
    Kind(int, _SMALL, _number),
    Kind(Annotated[int, Field(ge=-5_000)], _SMALL, _number),
    Kind(int | None, st.none() | _SMALL, lambda value: [None] if value is None else _number(value)),
    Kind(float, _SMALL.map(lambda value: value / 4), lambda value: [value, str(value), f"{value:.9e}"]),
    Kind(Decimal, _SMALL, lambda value: [value, str(value), f"{value}.00", f"{value}e0"]),
    Kind(bool, st.booleans(), lambda value: [value, "yes" if value else "no", int(value)]),
    Kind(str, _WORDS, lambda value: [value]),
    Kind(Annotated[str, AfterValidator(str.lower)], _WORDS, lambda value: [value, value.upper()]),
    Kind(datetime, st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)), _instant),  # noqa: DTZ001
    Kind(set[str], st.sets(_WORDS, max_size=3).map(sorted), lambda value: [value, value[::-1], value + value[:1]]),
    Kind(list[int], st.lists(_SMALL, max_size=3), lambda value: [value, list(map(str, value)), list(map(float, value))]),
    Kind(dict[str, float], st.dictionaries(_WORDS, _SMALL, max_size=2), lambda value: [value, dict([*value.items()][::-1])]),
    Kind(Literal["a", "b"], st.sampled_from("ab"), lambda value: [value]),
    Kind(Inner, _SMALL, lambda value: [{"count": value}, {"count": str(value), "unit": "piece"}]),
    Kind(Any, _SMALL, lambda value: [value]),
)


@st.composite
def calls(draw: st.DrawFn) -> tuple[type[BaseModel], list[dict[str, Any]], dict[str, Any]]:
    """Draw a model, one call of it in two spellings, and another call, which may be the same by chance."""
    fields: dict[str, Any] = {}
    same: list[dict[str, Any]] = [{}, {}]
    other: dict[str, Any] = {}
    for number in range(draw(st.integers(1, 4))):
        kind, alias = draw(st.sampled_from(KINDS)), draw(st.booleans())
        name, value = f"f{number}", draw(kind.values)
        key = f"alias-{number}" if alias else name
        made: dict[str, Any] = {"alias": key} if alias else {}
        usual = draw(st.none() | st.just(value) | kind.values)
        if usual is not None:
            made["default"] = kind.typed(usual)
        fields[name] = (kind.annotation, Field(**made))
        for args in same:
            if usual is None or kind.typed(value) != made["default"] or draw(st.booleans()):
                args[key] = draw(st.sampled_from(kind.spellings(value)))
        other[key] = draw(st.sampled_from(kind.spellings(draw(kind.values))))
    model = create_model("Made", __config__=ConfigDict(extra="forbid"), **fields)
    return model, same, other


def tools_of(model: type[BaseModel]) -> Catalogue:
    """Return a tool with these arguments, and one that others read from."""

    async def write(args: Any, call: ToolCall) -> dict[str, Any]:
        CALLED.append(args)
        return {}

    async def look(args: Any, call: ToolCall) -> Preview:
        CALLED.append(args)
        return Preview(effect="write it", output={})

    for function in (write, look):
        function.__annotations__["args"] = model
    made: Tool = tool(name="write", risk="MEDIUM", reversibility="irreversible")(write)
    made.dry_run(look)

    @tool(name="read", risk="LOW", reversibility="read_only")
    async def read(args: Nothing, call: ToolCall) -> dict[str, Any]:
        return {}

    return Catalogue([made, read])


class Nothing(BaseModel):
    pass


async def carried_out(catalogue: Catalogue, args: dict[str, Any], read: set[str]) -> tuple[dict[str, Any], str]:
    """Admit, preview, seal, claim and call; return the sealed arguments and the digest of the claim.

    Args:
        catalogue: The tools.
        args: The arguments of the call.
        read: Those of them that come from the output of another step.
    """
    outputs = {"r": {"found": {key: args[key] for key in read}}}
    stated = {key: {"$ref": f'r.found."{key}"'} if key in read else value for key, value in args.items()}
    steps = (
        Step(id="r", agent="a", tool="read", confidence=1.0),
        Step(id="w", agent="a", tool="write", args=stated, confidence=1.0, after=("r",)),
    )
    plan = Plan(plan_id="p", requested_by="rita", steps=steps)
    examination = examine(plan, catalogue, POLICY)
    assert examination.problems == ()
    admitted = examination.admitted
    assert admitted is not None
    step, contract = admitted.step(steps[1]), admitted.contract("w")
    toolbox, env = Toolbox(catalogue, POLICY), ActivityEnvironment()
    env.info = dataclasses.replace(env.info, workflow_type="PlanWorkflow", workflow_id="plan-p")

    asked = RehearsalRequest(
        plan_id="p", steps=(step,), contracts={"c": contract}, contract_of={"w": "c"}, outputs=outputs, epoch=admitted.epoch
    )
    (preview,) = (await env.run(PreviewActivities(toolbox).preview, asked)).previews
    assert preview.kind == "previewed", preview
    looked_at = CALLED[-1]
    sealed = sealed_content(plan, admitted, examination.ceilings, {"w": preview}, (), "2026-01-01").steps[1]
    assert sealed.preview is not None
    shown = sealed.preview.args
    assert set(sealed.preview.derived) == read
    for key in set(args) - read:
        assert canonical_json(sealed.args[key]) == canonical_json(shown[key])

    wanted = ClaimWanted(step="w", tool="write", digest="none", args=step.claimed_args, outputs=outputs)
    claimed = in_any_spelling(catalogue, wanted, "p1").digest

    call = CallRequest(step=step, contract=contract, preview=preview, outputs=outputs, epoch=admitted.epoch)
    (made,) = (await env.run(CallActivities(toolbox).call, ChainRequest(plan_id="p", calls=(call,)))).attempts
    assert (made.kind, made.drift) == ("live", ())
    model = type(looked_at)
    assert CALLED[-1] == looked_at == model.model_validate(shown), "shown = looked at = called"
    assert claimed == call_digest("write", identity(model, shown), None), "shown = claimed"
    return shown, claimed


@settings(max_examples=60)
@given(calls(), st.data())
def test_sealed_is_shown_is_claimed_is_called(drawn, data):
    model, same, other = drawn
    catalogue = tools_of(model)
    results = []
    for args in (*same, other):
        read = data.draw(st.sets(st.sampled_from(sorted(args)))) if args else set()
        results.append(asyncio.run(carried_out(catalogue, args, {key for key in read if args[key] is not None})))
    one, again, another = ((canonical_json(shown), claimed) for shown, claimed in results)
    assert one == again, "two spellings, one call"
    assert (one[0] == another[0]) is (one[1] == another[1]), "two calls, two claims"
