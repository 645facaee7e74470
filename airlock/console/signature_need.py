"""The need of a signature: whether an approval of a whole preview counts only with evidence of its person."""

from airlock.admission.decision_rules import Demand
from airlock.admission.policy import Policy
from airlock.run.presentation.approval_needs import demands_of_policy, evidence_needed, sealed_demands
from airlock.run.sealing.sealed import Sealed


def needs_signature(sealed: Sealed, today: Policy) -> bool:
    """Return True if an approval of all of a seal must be signed, by the plan's policy or by that of today.

    It only tells people what to expect: the plan itself judges each approval.

    Args:
        sealed: The content of the seal, which says what the plan's policy asks for.
        today: The policy of the operator's file.
    """
    demands = (*sealed_demands(sealed), *demands_of_policy(sealed, today))
    return evidence_needed(demands) is not Demand.NONE
