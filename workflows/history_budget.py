"""The size of a run's history at which the run continues as new."""

from dataclasses import dataclass

from temporalio import workflow


@dataclass(frozen=True)
class HistoryBudget:
    """Limits on the history of one run.

    Temporal fails a run at 51,200 events or 50 MiB, and a long history makes every replay slow. The numbers decide at
    which workflow task a run continues as new: changing one breaks the replay of every run that has come that far.
    """

    events: int
    """The number of events from which the run continues as new."""
    bytes: int | None = None
    """The size in bytes from which it does; None for a workflow whose events are small."""

    def is_spent(self) -> bool:
        """Return True if the current run should continue as new; Temporal's own suggestion counts too."""
        info = workflow.info()
        return (
            info.get_current_history_length() >= self.events
            or (self.bytes is not None and info.get_current_history_size() >= self.bytes)
            or info.is_continue_as_new_suggested()
        )
