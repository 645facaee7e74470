"""The end of an activity whose worker shuts down, before its work was done: expected, and repeated by Temporal."""

from temporalio.exceptions import ApplicationError, ApplicationErrorCategory


def stopped_early(why: str, kind: str = "Stopped") -> ApplicationError:
    """Return the error of an activity that ends for a shutdown.

    A worker writes each failed activity into its log with a traceback of fifty lines, unless the error is benign. A worker
    with work to do would otherwise fill its log whenever it is stopped in order.

    Args:
        why: The reason, for Temporal's UI.
        kind: The type of the error.
    """
    return ApplicationError(why, type=kind, category=ApplicationErrorCategory.BENIGN)
