"""The short path of a plan that is new: one activity admits, mocks and previews it (docs/adr/0011)."""

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from airlock.base import names
    from airlock.run.state import Run
    from airlock.wire import Prepared, PrepareRequest
    from airlock.workflows import commands
    from airlock.workflows.answers import NoAnswer, answered_unless_moved, apart


async def prepared_at_once(run: Run) -> Prepared | None:
    """Return the answers of admission, mocks and dry runs from one activity; None if each must be asked for.

    The build id of the worker tells whether its code knows the short path, at no cost: Temporal records it with the
    workflow task, so that a replay sees the same. What one activity did not answer is asked for part by part, so that a
    worker of another version or setup, or a failure, costs no more than time.
    """
    setup = names.setup_of(workflow.info().get_current_build_id())
    if not setup or run.undoing is not None or run.admitted is not None or run.calls:
        return None
    request = PrepareRequest(plan=run.plan, setup=setup)
    run.preparing = True
    try:
        return await answered_unless_moved(run, lambda: commands.prepare(request, apart(run)))
    except (ActivityError, NoAnswer) as error:
        workflow.logger.info("%s is rehearsed part by part: %s", workflow.info().workflow_id, error)
        return None
    finally:
        run.preparing = False
