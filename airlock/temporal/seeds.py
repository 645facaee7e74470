"""The seeds of a run: which of them Temporal gave it at its start and at a reset, and which a client feigned.

A run's seed comes from its run id, and after a reset from the id of the new run, in every replay. That makes a name that no
other life of a run has. But a client that takes a workflow task can let it fail with the cause of a reset. The event then
names no new run, and the SDK makes a seed of the empty text: the same in every run, as often as the client likes.
"""

from collections.abc import Callable
from typing import Any, Final

from temporalio import workflow

FEIGNED: Final = 0x30406EA523C53DEF
"""The SDK's seed for a run id that is empty: SipHash-1-3 without a key. A test on a real server watches that it still is."""


class Seeds:
    """The genuine seeds of one workflow instance; made before the instance takes its first one from the history."""

    def __init__(self) -> None:
        self.latest = workflow.random_seed()
        """The newest genuine seed."""
        self.proofs_due = False
        """True if what workers say to this run needs a proof."""
        self._callbacks: list[Callable[[int], None]] = []
        workflow.register_random_seed_callback(self._take)

    def on_reset(self, callback: Callable[[int], None]) -> None:
        """Call back with the seed at each point to which the run was reset."""
        self._callbacks.append(callback)

    def _take(self, seed: int) -> None:
        if seed == FEIGNED:
            return
        self.latest = seed
        for callback in self._callbacks:
            callback(seed)


_KEPT_AS: Final = "_airlock_seeds"


def seeds() -> Seeds:
    """Return the seeds of the workflow instance that runs here."""
    # the SDK hands out no public name of an instance that is there before the instance has its workflow object
    instance: Any = workflow._Runtime.current()
    found: Seeds | None = getattr(instance, _KEPT_AS, None)
    if found is None:
        found = Seeds()
        # on the instance: its callbacks hold the instance, so that a table beside it, however weak, would keep every run
        setattr(instance, _KEPT_AS, found)
    return found
