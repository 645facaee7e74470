"""Search attributes and details of a plan, as the Temporal UI and visibility show them."""

from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey

with workflow.unsafe.imports_passed_through():
    from airlock.base import names
    from airlock.plans.state import State
    from airlock.run.live.call_results import outcome_of
    from airlock.run.presentation.details import details
    from airlock.run.state import Run

MAX_DETAILED = 100
"""Steps up to which the details are written again at every change; larger plans write them once per state."""
_STATE = SearchAttributeKey.for_keyword(names.ATTRIBUTE_STATE)
_SINCE = SearchAttributeKey.for_datetime(names.ATTRIBUTE_SINCE)
_RISK = SearchAttributeKey.for_keyword(names.ATTRIBUTE_RISK)
_OUTCOME = SearchAttributeKey.for_keyword(names.ATTRIBUTE_OUTCOME)
_RESOURCES = SearchAttributeKey.for_keyword_list(names.ATTRIBUTE_RESOURCES)


class PlanDisplay:
    """The public view of one run outside its queries.

    Args:
        run: The plan's run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._shown: State | None = None

    def update(self, *, shown: bool = True) -> None:
        """Write the details, and the search attributes if the state changed since the last update.

        Args:
            shown: False to leave the search attributes as they are for now.
        """
        run = self._run
        if self._shown is not run.state or len(run.plan.steps) <= MAX_DETAILED:
            self.update_details()
        if self._shown is run.state or not shown:
            return
        if run.only_read and run.state is State.COMPLETED and self._untouched():
            return  # the end of a plan that is nothing but reads is told by Temporal's own status
        first, self._shown = self._shown is None, run.state
        # a run that continues another one as new inherits its search attributes: one upsert less in each history
        if first and workflow.info().typed_search_attributes.get(_STATE) == run.state.value:
            return
        updates: list[Any] = [_STATE.value_set(run.state.value), _SINCE.value_set(run.since)]
        if run.admitted is not None and workflow.info().typed_search_attributes.get(_RISK) is None:
            updates.append(_RISK.value_set(run.admitted.risk.value))
            if run.admitted.resource_index:
                updates.append(_RESOURCES.value_set(list(run.admitted.resource_index)))
        if run.amendments:
            updates += self._amended()
        if run.state.closed or run.outcome is not None:
            updates.append(_OUTCOME.value_set(outcome_of(run).value))
        workflow.upsert_search_attributes(updates)

    def _amended(self) -> list[Any]:
        """Return the search attributes of the plan itself that are not those of its amended steps."""
        admitted, known = self._run.contracts(), workflow.info().typed_search_attributes
        found: list[Any] = []
        if known.get(_RISK) not in (None, admitted.risk.value):
            found.append(_RISK.value_set(admitted.risk.value))
        if known.get(_RISK) is not None and list(known.get(_RESOURCES) or ()) != list(admitted.resource_index):
            found.append(_RESOURCES.value_set(list(admitted.resource_index)))
        return found

    def _untouched(self) -> bool:
        """Return True if the search attributes are those with which the plan was started."""
        return self._shown is State.MOCK and workflow.info().typed_search_attributes.get(_STATE) == State.MOCK.value

    def update_details(self) -> None:
        """Write the details alone, which leave no event in the history."""
        workflow.set_current_details(details(self._run))

    async def follow_refusals(self) -> None:
        """Write the details after refusals, which wake no stage: once for all of one task, so that a flood costs little."""
        run = self._run
        while True:
            seen = run.refused
            await workflow.wait_condition(lambda seen=seen: run.refused != seen)  # type: ignore[misc]
            if len(run.plan.steps) <= MAX_DETAILED:
                self.update_details()
