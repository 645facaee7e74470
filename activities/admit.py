"""Admission: the operator's catalogue and policy judge a plan."""

import hashlib
import hmac

from temporalio import activity

from activities.toolbox import Toolbox
from airlock.admission import Admission, admit
from airlock.wire import AdmitRequest

_MAX_INDEXED = 50


class AdmitActivities:
    """Runs on the operator's worker, next to the workflows."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox

    @activity.defn(name="admit")
    def admit(self, request: AdmitRequest) -> Admission:
        """Freeze the contracts and the policy that apply to a plan, or say why it is refused."""
        admission = admit(request.plan, self._toolbox.catalogue, self._toolbox.policy)
        if admission.admitted is None or not self._toolbox.index_key:
            return admission
        named = sorted({name for names in admission.admitted.resources.values() for name in names})[:_MAX_INDEXED]
        index = tuple(resource_hash(self._toolbox.index_key, name) for name in named)
        return admission.model_copy(update={"admitted": admission.admitted.model_copy(update={"resource_index": index})})


def resource_hash(key: str, resource: str) -> str:
    """The keyed hash of a resource name for the search attribute, which Temporal does not encrypt: 32 hex characters."""
    return hmac.new(key.encode(), resource.encode(), hashlib.sha256).hexdigest()[:32]
