"""The claims of irreversible calls by their canonical arguments, which only a worker with the tool's own model can make."""

from airlock.admission.call_digest import canonical_digest
from airlock.base.errors import RefError
from airlock.base.names import occasion_of
from airlock.gates.protocol import ClaimWanted
from airlock.plans.arguments.canonical_field import NotCanonical
from airlock.plans.catalogue import Catalogue


def in_any_spelling(catalogue: Catalogue, wanted: ClaimWanted, plan_id: str) -> ClaimWanted:
    """Return a claim with the digest that the same call has in every spelling.

    A claim without arguments stays as it is: its `dedupe_key` tells the call, or its run was admitted before arguments had a
    canonical form.
    """
    tool = catalogue.get(wanted.tool)
    if wanted.args is None or tool is None:
        return wanted
    try:
        digest = canonical_digest(tool, wanted.args, wanted.outputs, occasion_of(plan_id))
    except (RefError, NotCanonical):  # the call itself fails for the same reason, before anything is sent
        return wanted
    return wanted if digest is None else wanted.model_copy(update={"digest": digest})
