"""The amendment that a form makes: its steps as JSON, the ids of the steps to remove, the preview that it is about."""

from typing import Any

from airlock.base.json_text import JsonFault, parse_json
from airlock.console.context import Form, Refusal, one


def amendment_of(form: Form) -> dict[str, Any]:
    """Return the fields of an amendment besides its person and reason; None where the form says nothing.

    Raises:
        Refusal: If the form names no preview, or its steps are not JSON of steps; it names the field and the fix.
    """
    digest = one(form, "digest")
    if not digest:
        raise Refusal("digest: is missing; open the page again")
    remove = [step.strip() for step in one(form, "remove").split(",") if step.strip()]
    return {"steps": _steps(one(form, "steps")) or None, "remove": remove or None, "digest": digest}


def _steps(text: str) -> list[dict[str, Any]]:
    """Return the steps of a text: one of them, or a list."""
    if not text.strip():
        return []
    try:
        found = parse_json(text.encode(errors="surrogateescape"))
    except JsonFault as fault:
        raise Refusal(f"steps: {fault.message} (fix: {fault.fix})") from fault
    steps = [found] if isinstance(found, dict) else found
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise Refusal("steps: is neither a step nor a list of steps (fix: write one, {...}, or several, [{...}, {...}])")
    return steps
