"""Former values in what an agent is shown: none, because who may propose to write something may not therefore read it."""

from airlock.mcp.desk import _masked
from airlock.run.presentation.preview_lines import step_lines
from tests.core.build import awaiting, plan, preview, step


def test_an_agent_is_shown_no_value_that_its_call_would_replace() -> None:
    former = {"content": "the former\ntext"}
    run = awaiting(plan(step("a")), a=preview("a", former=former, args={"content": "new"}))
    assert run.sealed is not None
    assert "the former" in "\n".join(step_lines(run.sealed.steps[0]))
    shown = _masked(run.sealed)
    assert "the former" not in shown.model_dump_json()
    assert "new" in "\n".join(step_lines(shown.steps[0]))
