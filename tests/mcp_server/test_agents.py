"""An agent on stdio, with the SDK's own client: it proposes, people decide, and the effect is a real file."""

import json
from typing import Any

import pytest
from mcp import Client

from airlock.mcp.masking import HIDDEN
from tests.mcp_server.place import OTHER, Place, asked, over, reaches, write_plan

TOOLS = {
    "list_tools", "check_plan", "propose_plan", "plan_status", "plan_preview", "wait_for_plan", "amend_plan",
    "withdraw_plan", "health",
}  # fmt: skip


async def test_a_plan_goes_live_once_a_person_has_approved_it(place: Place) -> None:
    async with Client(place.stdio()) as client:
        offered = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(offered) == TOOLS
        assert all(tool.title and tool.output_schema and tool.annotations for tool in offered.values())
        writing = {name for name, tool in offered.items() if not tool.annotations or not tool.annotations.read_only_hint}
        assert writing == {"propose_plan", "amend_plan", "withdraw_plan"}
        assert "Do not repeat the call unless the user asks." in (client.instructions or "")

        catalogue = await asked(client, "list_tools")
        tools = {tool["tool"]: tool for tool in catalogue["tools"]}
        assert tools["file_write"]["rights"]["ceiling"] == "LIVE"
        assert tools["file_write"]["output"]["properties"].keys() >= {"path"}
        assert catalogue["rights"]["secrets"] == ["VAULT"]

        plan = write_plan("agents/live.md")
        assert (await asked(client, "check_plan", plan=plan))["steps"][0]["ceiling"] == "LIVE"
        proposed = await asked(client, "propose_plan", plan=plan)
        plan_id = proposed["plan_id"]
        assert proposed["outcome"] is None
        waiting = await reaches(client, plan_id, "waiting_for_approval")
        assert waiting["in_effect"] == []
        assert "digest" not in json.dumps(waiting)
        preview = await asked(client, "plan_preview", plan_id=plan_id)
        assert "agents/live.md" in preview["text"]
        assert "approve" not in preview["text"].replace("approved", "").lower()
        again = await asked(client, "propose_plan", plan=plan)
        assert (again["plan_id"], again["already_proposed"]) == (plan_id, True)
        assert (await asked(client, "wait_for_plan", plan_id=plan_id, seconds=0.1))["outcome"] is None
        assert not (place.files / "agents/live.md").exists()

        await place.approve(plan_id)
        ended = await over(client, plan_id)
        assert (ended["outcome"], ended["in_effect"]) == ("completed", ["w"])
        assert ended["outputs"]["w"]["path"] == "agents/live.md"
        assert (place.files / "agents/live.md").read_text() == "hello"
        assert (await asked(client, "health"))["temporal"]


async def test_a_denied_plan_is_told_as_not_in_effect(place: Place) -> None:
    async with Client(place.stdio()) as client:
        plan_id = (await asked(client, "propose_plan", plan=write_plan("agents/denied.md")))["plan_id"]
        await reaches(client, plan_id, "waiting_for_approval")
        await place.person("deny", plan_id, "--by", "bob", "--reason", "not today")
        ended = await over(client, plan_id)
        assert ended["outcome"] == "denied"
        assert ended["next"].startswith("Not in effect (")
        assert 'The plan ended denied: "not today". Do not repeat the call unless the user asks.' in ended["next"]
        assert not (place.files / "agents/denied.md").exists()


async def test_an_agent_withdraws_its_own_plan_and_only_before_it_is_live(place: Place) -> None:
    async with Client(place.stdio()) as client, Client(place.stdio(OTHER)) as other:
        plan_id = (await asked(client, "propose_plan", plan=write_plan("agents/withdrawn.md")))["plan_id"]
        await reaches(client, plan_id, "waiting_for_approval")
        for tool, more in (("plan_status", {}), ("plan_preview", {}), ("withdraw_plan", {"reason": "mine now"})):
            refused = await asked(other, tool, plan_id=plan_id, **more)
            unknown = await asked(other, tool, plan_id="no-such-plan", **more)
            assert json.dumps(refused).replace(plan_id, "ID") == json.dumps(unknown).replace("no-such-plan", "ID")
        assert (await reaches(client, plan_id, "waiting_for_approval"))["ok"]
        await asked(client, "withdraw_plan", plan_id=plan_id, reason="the user changed their mind")
        gone = await over(client, plan_id)
        assert (gone["outcome"], gone["in_effect"]) == ("aborted", [])
        assert [step["status"] for step in gone["steps"]] == ["withdrawn"]

        locked = (await asked(client, "propose_plan", plan=write_plan("agents/locked.md")))["plan_id"]
        await reaches(client, locked, "waiting_for_approval")
        await place.person("lock", locked, "--by", "bob", "--reason", "look at it")
        await reaches(client, locked, "locked")
        refused = await asked(client, "withdraw_plan", plan_id=locked, reason="away with it")
        assert "a person decides" in refused["problems"][0]["reason"]
        assert await reaches(client, locked, "locked")


async def test_an_id_that_is_taken_is_refused_alike_for_all_agents(place: Place) -> None:
    async with Client(place.stdio()) as client, Client(place.stdio(OTHER)) as other:
        for agent, plan_id in ((client, "taken-by-claude"), (other, "taken-by-gpt")):
            assert (await asked(agent, "propose_plan", plan=write_plan("agents/id.md", plan_id=plan_id)))["ok"]
        refused = {}
        for plan_id in ("taken-by-claude", "taken-by-gpt"):
            answer = await asked(client, "propose_plan", plan=write_plan("agents/other.md", plan_id=plan_id))
            refused[plan_id] = json.dumps(answer).replace(plan_id, "ID")
        assert refused["taken-by-claude"] == refused["taken-by-gpt"]
        assert "other content" in refused["taken-by-gpt"]


async def test_an_agent_amends_its_own_plan_and_a_person_approves_what_changed(place: Place) -> None:
    first = write_plan("agents/kept.md")["steps"][0]
    second = {**write_plan("agents/wrong.md")["steps"][0], "id": "v"}
    async with Client(place.stdio()) as client, Client(place.stdio(OTHER)) as other:
        plan_id = (await asked(client, "propose_plan", plan={"goal": "two files", "steps": [first, second]}))["plan_id"]
        await reaches(client, plan_id, "waiting_for_approval")
        seen = json.loads(await place.person("show", plan_id, "--json"))["status"]["digest"]
        better = {**write_plan("agents/right.md")["steps"][0], "id": "v"}
        mine = {"plan_id": plan_id, "steps": [better], "reason": "the wrong name"}

        foreign = await asked(other, "amend_plan", **mine)
        unknown = await asked(other, "amend_plan", **{**mine, "plan_id": "no-such-plan"})
        assert json.dumps(foreign).replace(plan_id, "ID") == json.dumps(unknown).replace("no-such-plan", "ID")
        for wrong, field in (
            ({"steps": [{**better, "agent": "powerful"}]}, "steps.v.agent"),
            ({"steps": [{**better, "tool": "file_wrte"}]}, "steps.v.tool"),
            ({"steps": [{**better, "after": ["v"]}]}, "steps.v"),
            ({"steps": [{**better, "confidence": 7}]}, "steps.v.confidence"),
            ({"steps": "v"}, "steps"),
            ({"steps": [], "remove": ["nowhere"]}, "remove"),
        ):
            refused = await asked(client, "amend_plan", **{**mine, **wrong})
            assert refused["problems"][0]["field"].startswith(field), (wrong, refused)
            assert refused["problems"][0]["fix"]
        assert json.loads(await place.person("show", plan_id, "--json"))["status"]["digest"] == seen

        amended = await asked(client, "amend_plan", **mine)
        assert amended["next"].startswith("Amended: v (changed).")
        await reaches(client, plan_id, "waiting_for_approval")
        await place.person("approve", plan_id, "--by", "alice", "--digest", seen, code=1)
        text = (await asked(client, "plan_preview", plan_id=plan_id))["text"]
        assert 'amended by claude: "the wrong name"' in text
        assert '- path = "agents/wrong.md"' in text
        assert '+ path = "agents/right.md"' in text
        assert "unchanged: w" in text
        await place.approve(plan_id)
        assert (await over(client, plan_id))["outcome"] == "completed"
        assert (await asked(client, "amend_plan", **mine))["phase"] == "ended"
    assert (place.files / "agents/right.md").exists()
    assert (place.files / "agents/kept.md").exists()
    assert not (place.files / "agents/wrong.md").exists()


def note(**more: Any) -> dict[str, Any]:
    return {"steps": [{"id": "w", "tool": "keep_note", "args": {"text": "x"}, "confidence": 0.9, **more}]}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"requested_by": "alice"}, "requested_by"),
        (note(agent="powerful"), "steps.w.agent"),
        ({"approvals": [{"by": "alice"}]}, "approvals"),
        (note(args={"text": {"$secret": "VAULT"}}), "steps.w.args.text"),
        (note(args={"text": "x", "password": {"$secret": "OTHER"}}), "steps.w.args.password"),
        (note(tool="keep_nte"), "steps.w.tool"),
    ],
)
async def test_what_an_agent_may_not_write_is_refused_with_field_reason_and_fix(
    place: Place, change: dict[str, Any], field: str
) -> None:
    async with Client(place.stdio()) as client:
        for tool in ("check_plan", "propose_plan"):
            refused = await asked(client, tool, plan=write_plan("agents/refused.md", plan_id="refused", **change))
            assert field in [problem["field"] for problem in refused["problems"]], refused
            assert all(problem["reason"] and problem["fix"] for problem in refused["problems"])
        assert not (await asked(client, "plan_status", plan_id="refused"))["ok"]  # nothing was started


async def test_no_field_and_no_tool_approves_and_no_secret_is_shown(place: Place) -> None:
    step = {"id": "k", "tool": "keep_note", "args": {"text": "x", "password": {"$secret": "VAULT"}}, "confidence": 0.95}
    async with Client(place.stdio()) as client:
        proposed = await asked(client, "propose_plan", plan={"steps": [step]}, by="alice", approve=True, decision="approve")
        plan_id = proposed["plan_id"]
        await reaches(client, plan_id, "waiting_for_approval")
        shown = [
            await asked(client, "plan_status", plan_id=plan_id, approve=True),
            await asked(client, "plan_preview", plan_id=plan_id, digest="0" * 64),
            await asked(client, "wait_for_plan", plan_id=plan_id, seconds=0, decision="approve"),
        ]
        assert f'password = "{HIDDEN}"' in shown[1]["text"]
        assert all("VAULT" not in json.dumps(each) and "the-password-itself" not in json.dumps(each) for each in shown)
        for name in ("approve", "approve_plan", "unlock", "resolve", "decide", "rollback"):
            assert (await client.call_tool(name, {"plan_id": plan_id})).is_error
        audit = await (await place.airlock()).plan(plan_id).audit()
        assert {entry.kind.value for entry in audit.entries} & {"decision", "refused"} == set()

        await place.approve(plan_id)
        ended = await over(client, plan_id)
        assert ended["outcome"] == "completed"
        assert "the-password-itself" not in json.dumps(ended)
