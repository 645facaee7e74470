"""An admitted plan: rows in memory, and on the wire the columns that histories and open runs hold."""

import base64
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from airlock.admission.admitted import Admission, Admitted
from airlock.plans.contract import Mode
from airlock.run.sealing.sealed import sealed_content
from airlock.run.state import Run
from tests.core.build import NOW, TOOLS, admitted, dags, new_run, plan, plan_of, reassigned, step

HISTORIES = Path(__file__).parents[1] / "replay" / "histories"


def payloads(value: Any) -> Iterator[Any]:
    """Yield every JSON document of a recorded history."""
    if isinstance(value, dict):
        if "data" in value and "metadata" in value:
            data = base64.b64decode(value["data"])
            packed = base64.b64decode(value["metadata"]["encoding"]) == b"binary/airlock-zlib"
            text = zlib.decompress(data) if packed else data
            if b'"contract_of"' in text:
                yield json.loads(text[text.index(b"{") :])
            return
        for inner in value.values():
            yield from payloads(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from payloads(inner)


def recorded(name: str) -> dict[str, Any]:
    """Return the answer of admission that a committed history holds."""
    events = json.loads((HISTORIES / f"{name}.json").read_text(encoding="utf-8"))["events"]
    return next(document for document in payloads(events) if document.get("admitted"))["admitted"]


@pytest.mark.parametrize("name", ["completed", "stale-and-previewed-anew", "left-out-as-a-duplicate", "waited-at-a-gate"])
def test_an_admission_of_an_old_history_is_read_and_written_back_unchanged(name: str) -> None:
    old = recorded(name)
    read = Admitted.model_validate(old)
    assert tuple(read.steps) == tuple(old["order"])
    for step_id, row in read.steps.items():
        assert row.contract.model_dump(mode="json") == old["contracts"][old["contract_of"][step_id]]
        assert row.contract_hash == old["contract_of"][step_id]
        assert list(row.parents) == old["parents"][step_id]
        assert [cap.model_dump(mode="json") for cap in row.caps] == old["caps"][step_id]
        assert list(row.resources) == old["resources"].get(step_id, [])
        assert row.agent == old["reassigned"].get(step_id)
    assert json.loads(read.model_dump_json()) == old
    assert read.model_dump(mode="json") == old
    assert Admitted.model_validate_json(json.dumps(old)) == read


def test_the_run_that_a_continue_as_new_carries_is_read_and_written_back_unchanged() -> None:
    events = json.loads((HISTORIES / "continued-as-new-2.json").read_text(encoding="utf-8"))["events"]
    carried = next(document["run"] for document in payloads(events[0]) if document.get("run"))
    run = Run.model_validate(carried)
    assert run.contracts().order == tuple(carried["admitted"]["order"])
    assert json.loads(run.model_dump_json())["admitted"] == carried["admitted"]


def test_fields_that_an_older_version_did_not_write_have_their_defaults() -> None:
    old = recorded("completed")
    for late in ("resources", "resource_index", "conflicts", "reassigned", "reliability"):
        del old[late]
    read = Admitted.model_validate(old)
    assert {row.resources for row in read.steps.values()} == {()}
    assert {row.agent for row in read.steps.values()} == {None}
    assert (read.resource_index, read.conflicts, read.reliability) == ((), (), None)


def test_the_seal_names_the_hash_that_admission_froze() -> None:
    # a later version with one more contract field would compute another hash, and open seals would not match
    run = new_run(plan(step("a"), step("b", "mail", "a")))
    old = run.contracts().model_dump(mode="json")
    frozen = old["contract_of"]["a"]
    old["contracts"]["f" * 64] = old["contracts"].pop(frozen)
    old["contract_of"]["a"] = "f" * 64
    content = sealed_content(run.plan, Admitted.model_validate(old), run.ceilings, {}, (), NOW.isoformat())
    assert {sealed.id: sealed.contract_hash for sealed in content.steps}["a"] == "f" * 64


@pytest.mark.parametrize("column", ["contracts", "contract_of", "parents", "caps"])
def test_a_column_that_lacks_a_step_is_refused(column: str) -> None:
    old = recorded("completed")
    old[column] = {}
    with pytest.raises(ValidationError, match="lacks an entry for"):
        Admission.model_validate({"admitted": old})


def test_a_contract_that_steps_share_is_written_once() -> None:
    written = json.loads(admitted(plan(*(step(f"s{number}") for number in range(50)))).model_dump_json())
    assert len(written["contracts"]) == 1
    assert len(written["contract_of"]) == 50


def test_a_step_that_was_moved_keeps_its_new_agent_on_the_wire() -> None:
    moved = reassigned(admitted(plan(step("a"), step("b"))), "b", "crm")
    assert json.loads(moved.model_dump_json())["reassigned"] == {"b": "crm"}
    assert Admitted.model_validate_json(moved.model_dump_json()).steps["b"].agent == "crm"


@given(st.data())
def test_what_is_written_is_read_back(data: st.DataObject) -> None:
    parents = data.draw(dags())
    tools = {name: data.draw(st.sampled_from(TOOLS)) for name in parents}
    confidence = {name: data.draw(st.sampled_from([0.3, 0.7, 1.0])) for name in parents}
    found = admitted(plan_of(parents, tools, confidence))
    again = Admitted.model_validate_json(found.model_dump_json())
    assert again == found
    assert again.order == found.order
    assert again.contracts == found.contracts
    candidates = found.live_candidates
    for name, row in found.steps.items():
        own = all(cap.mode is Mode.LIVE for cap in row.caps)
        assert (name in candidates) == (own and set(row.parents) <= set(candidates))
