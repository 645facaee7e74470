"""A workflow of another namespace that asks an endpoint of Airlock for anything, in a module of its own for the sandbox."""

from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import NexusOperationError


@workflow.defn
class Stranger:
    """A caller that Airlock knows nothing of."""

    @workflow.run
    async def run(self, endpoint: str, operation: str, given: RawValue) -> Any:
        """Return the answer of an operation, or the reason why it failed."""
        airlock = workflow.create_nexus_client(service="airlock", endpoint=endpoint)
        try:
            # a refusal is told at once; what the handler stumbles over is asked again until the time is over
            return await airlock.execute_operation(
                operation, given, output_type=Any, schedule_to_close_timeout=timedelta(seconds=40)
            )
        except NexusOperationError as error:
            return {"refused": f"{error.cause or error}"}
