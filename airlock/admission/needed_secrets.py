"""The secrets that live calls need: those that a tool asks for itself, and those that a plan names."""

from collections.abc import Callable, Mapping

from airlock.admission.admitted import Admitted
from airlock.base.errors import Problem
from airlock.base.text import shorten
from airlock.plans.catalogue import Catalogue
from airlock.plans.contract import Contract
from airlock.plans.plan import Plan, Step
from airlock.plans.refs import SECRET, markers

ENVIRONMENT_PREFIX = "AIRLOCK_SECRET_"
_SETTING = "_secret"
"""The end of the name of a setting that holds the name of a secret."""


def secrets_of_tools(catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    """Return the secrets that tools ask for themselves, each with the tools that do, sorted.

    They stand in `needs_secrets` of a contract, and in the settings whose names end in `_secret`, if the operator has
    written something into that section: the built-in tools that nothing is set for need nothing.
    """
    found: dict[str, set[str]] = {}
    for name in catalogue.names:
        for secret in (*catalogue.contract(name).needs_secrets, *_of_settings(catalogue, name)):
            found.setdefault(secret, set()).add(name)
    return {secret: tuple(sorted(found[secret])) for secret in sorted(found)}


def _of_settings(catalogue: Catalogue, name: str) -> tuple[str, ...]:
    tool = catalogue.get(name)
    settings = catalogue.settings_of(tool) if tool is not None else None
    if settings is None or not settings.model_fields_set:
        return ()
    values = (getattr(settings, field) for field in type(settings).model_fields if field.endswith(_SETTING))
    return tuple(value for value in values if isinstance(value, str) and value)


def secrets_of_plan(plan: Plan, contracts: Mapping[str, Contract]) -> dict[str, tuple[str, ...]]:
    """Return the secrets that the live calls of a plan need, each with the places that need it."""
    found: dict[str, list[str]] = {}
    for step in plan.steps:
        for place, secret in _of_step(step, contracts.get(step.id)):
            found.setdefault(secret, []).append(place)
    return {secret: tuple(found[secret]) for secret in sorted(found)}


def _of_step(step: Step, contract: Contract | None) -> list[tuple[str, str]]:
    own = [(f"steps.{step.id}.tool", secret) for secret in contract.needs_secrets] if contract else []
    named = [marker for marker in markers(step.args) if marker.kind == SECRET and isinstance(marker.text, str)]
    return [*own, *((f"steps.{step.id}.args.{marker.path}", marker.text) for marker in named)]


def absent_secrets(plan: Plan, admitted: Admitted, has: Callable[[str], bool]) -> tuple[Problem, ...]:
    """Return a problem for each place of a plan whose live call needs a secret that is not there.

    Args:
        plan: The plan.
        admitted: Its admission: only calls that may go live need a secret.
        has: A function that tells whether a secret is there.
    """
    candidates = set(admitted.live_candidates)
    live = plan.model_copy(update={"steps": tuple(step for step in plan.steps if step.id in candidates)})
    contracts = {step: admitted.contract(step) for step in candidates}
    return tuple(
        Problem(
            where=place,
            message=f"the live call needs the secret {shorten(secret, 100)!r}, which this worker does not have",
            fix=f"let the operator give the worker {shorten(variable(secret), 150)}",
        )
        for secret, places in secrets_of_plan(live, contracts).items()
        if not has(secret)
        for place in places
    )


def variable(secret: str) -> str:
    """Return the environment variable that holds a secret."""
    return ENVIRONMENT_PREFIX + "".join(c if c.isalnum() else "_" for c in secret).upper()
