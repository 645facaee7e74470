"""Records the histories that the tests replay: real plans on real servers, with the tools of the test world.

    python -m tests.replay.record                    every scene that has no history yet, under the rules of today
    python -m tests.replay.record denied gates ...   only those named

Histories are kept in a folder for each epoch (`airlock.admission.admitted.EPOCH`); those of earlier epochs stand for open
runs that older versions began. No history is ever recorded over: a run may still be open that looks like it. Never edit
one by hand. Nothing is written unless every plan ended as it should.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client, WorkflowHandle, WorkflowHistory
from temporalio.testing import WorkflowEnvironment

import tests.replay.scenes_of_amendments
import tests.replay.scenes_of_epoch_3
import tests.replay.scenes_of_epoch_4
import tests.replay.scenes_of_epoch_5
import tests.replay.scenes_of_epoch_6
import tests.replay.scenes_of_epoch_9
import tests.replay.scenes_of_lost_chains
import tests.replay.scenes_of_patches
import tests.replay.scenes_of_rules
import tests.replay.scenes_of_signed_decisions
import tests.replay.scenes_of_the_read_lane
import tests.replay.scenes_with_others  # noqa: F401  # all register their scenes
from airlock.activities.monitor import send_reports, start_monitors
from airlock.admission.policy import Policy
from airlock.base import names
from airlock.client import Airlock
from airlock.client.live_gate import LiveGate
from airlock.temporal.connection import SEARCH_ATTRIBUTES, data_converter, learn_of_server
from tests import running
from tests.core.counting import live, report
from tests.replay.replay import FOLDER, KEYS, NAMESPACE
from tests.replay.scenes import SCENARIOS, submit, tree
from tests.replay.scenes_with_keys import SCENES, under
from tests.workflows.conftest import awaiting, binary, until, working
from tests.workflows.protected import Place, place

EXPIRED, GATES = "expired", "gates"
ALL = {*SCENARIOS, *SCENES, EXPIRED, GATES}
FIRST = {GATES: "gate-live"}
"""The first history of a scene, where it is not called after the scene."""
IDENTITY = "recorded"
"""In place of the process and host that Temporal would write into every event."""


async def gates_and_claims(client: Client) -> dict[str, str]:
    """Return the histories of the gates and two claims of these scenes."""
    files = await written(client, client.get_workflow_handle(names.LIVE_GATE), "gate-live")
    query = "WorkflowType = 'GateWorkflow' AND ExecutionStatus != 'Running'"
    gates = [run async for run in client.list_workflows(query)]
    for kind in ("gate-resource", "gate-tool"):
        runs = [run for run in gates if run.id.startswith(kind)]
        longest = max(runs, key=lambda run: run.history_length)
        files |= await written(client, client.get_workflow_handle(longest.id, run_id=longest.run_id), kind)
    for status in ("Completed", "Failed"):
        query = f"WorkflowType = 'ClaimWorkflow' AND ExecutionStatus = '{status}'"
        claim = await anext(client.list_workflows(query))
        files |= await written(client, client.get_workflow_handle(claim.id, run_id=claim.run_id), f"claim-{status.lower()}")
    return files


async def monitors(where: Place) -> dict[str, str]:
    """Return the histories of gates, claims and monitors.

    One monitor finds that most calls fail, and has the live gate locked; the other one has nothing to do.
    """
    async with under(where, auto_lock_severity=8).working():
        await start_monitors(where.workers, Policy(monitor_shards=2))
        failing = report(live(4, 20, "put"), at=datetime.now(UTC))
        await send_reports(where.workers, names.monitor_id(1), [failing])
        people = where.airlock.client
        await people.get_workflow_handle(names.monitor_id(1)).signal("report", {"reports": "junk"})

        async def locked() -> bool:
            gate = await LiveGate(people).status()
            return gate is not None and bool(gate.locks)

        await until(locked)
        files = await gates_and_claims(people)
        for shard, name in ((0, "monitor"), (1, "monitor-alarmed")):
            files |= await written(people, people.get_workflow_handle(names.monitor_id(shard)), name)
    return files


async def record(airlock: Airlock, name: str) -> dict[str, str]:
    """Play a scene of one plan; the histories of its runs by file name."""
    outcome, play = SCENARIOS[name]
    handle = await play(airlock, f"replay-{name}")
    result = await asyncio.wait_for(handle.result(), 60)
    assert result.outcome == outcome, (name, result)
    return await written(airlock.client, handle.workflow, name)


async def expired() -> dict[str, str]:
    """Return the one scene that takes a day; the server's clock skips it."""
    async with await WorkflowEnvironment.start_time_skipping(
        test_server_existing_path=binary("temporal-test-server")
    ) as env:
        # this server has every namespace, and can add search attributes, but not list them
        await env.client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(search_attributes=SEARCH_ATTRIBUTES)
        )
        address = env.client.service_client.config.target_host
        people, workers = [
            await Client.connect(address, namespace=NAMESPACE, data_converter=data_converter(keys), identity=IDENTITY)
            for keys in (None, KEYS)
        ]
        async with working(workers):
            handle = await submit(Airlock(people), "replay-expired", *tree())
            await awaiting(handle)
            await env.sleep(86_500)
            assert (await handle.result()).outcome == "expired"
            return await written(people, handle.workflow, "expired")


async def written(client: Client, handle: WorkflowHandle[Any, Any], name: str) -> dict[str, str]:
    """Return the histories of a run and of those it continues, oldest first, by file name."""
    runs = [[event async for event in handle.fetch_history_events()]]
    while before := runs[0][0].workflow_execution_started_event_attributes.continued_execution_run_id:
        earlier = client.get_workflow_handle(handle.id, run_id=before)
        runs.insert(0, [event async for event in earlier.fetch_history_events()])
    files = {}
    for number, events in enumerate(runs, 1):
        file = f"{name}.json" if len(runs) == 1 else f"{name}-{number}.json"
        history = WorkflowHistory(handle.id, events).to_json_dict()
        lines = (json.dumps(without_traces(event), separators=(",", ":"), sort_keys=True) for event in history["events"])
        files[file] = f'{{"workflowId":"{handle.id}","events":[\n' + ",\n".join(lines) + "\n]}\n"
    return files


def without_traces(value: Any) -> Any:
    """Stack traces name paths of this machine, and no replay reads them."""
    if isinstance(value, dict):
        return {key: without_traces(inner) for key, inner in value.items() if key != "stackTrace"}
    return [without_traces(inner) for inner in value] if isinstance(value, list) else value


def is_recorded(name: str) -> bool:
    """Return True if a scene has a history of this epoch."""
    return any((FOLDER / f"{first}.json").exists() for first in (FIRST.get(name, name), f"{name}-1"))


async def played(wanted: set[str]) -> AsyncIterator[tuple[str, dict[str, str]]]:
    """Yield each scene with its histories by file name."""
    with tempfile.TemporaryDirectory() as folder:
        async with running.dev_server(Path(folder)) as env:
            where = await place(env.client, NAMESPACE, KEYS, identity=IDENTITY)
            await learn_of_server(where.workers)  # its workers name their setup, and new plans take the short path
            for name in [each for each in SCENES if each in wanted]:
                runs = await SCENES[name](where, f"replay-{name}")
                found = [await written(where.airlock.client, run, file) for file, run in runs.items()]
                yield name, {file: text for each in found for file, text in each.items()}
            async with where.working():
                for name in [each for each in SCENARIOS if each in wanted]:
                    yield name, await record(where.airlock, name)
            if GATES in wanted:
                yield GATES, await monitors(where)
    if EXPIRED in wanted:
        yield EXPIRED, await expired()


async def main(wanted: set[str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    async for name, files in played(wanted):
        for file, text in sorted(files.items()):
            with (FOLDER / file).open("x", encoding="utf-8") as new:
                new.write(text)
        print(f"recorded {name}: {', '.join(sorted(files))}", flush=True)


if __name__ == "__main__":
    chosen = set(sys.argv[1:])
    if unknown := chosen - ALL:
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(sorted(ALL))}")
    if there := sorted(name for name in chosen if is_recorded(name)):
        sys.exit(f"recorded already, and never recorded over: {', '.join(there)}")
    asyncio.run(main(chosen or {name for name in ALL if not is_recorded(name)}))
