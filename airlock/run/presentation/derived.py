"""The mark of arguments that the plan does not state: they come from the output of another step."""

import json
import re

from airlock.plans.drift import overlap
from airlock.run.sealing.sealed import SealedStep

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.\[\]-]{0,499}")


def derived_mark(step: SealedStep, name: str) -> str:
    """Return what follows an argument in the preview: where it comes from, and whether the call may find another value.

    `  <- a.amount (derived)`, or `  <- a.amount (derived; any value of it is approved)`; empty for what the plan states.
    """
    if step.preview is None:
        return ""
    marks = [
        f"  <- {_quoted(ref)}{'' if path == name else f' at {_quoted(path)}'} ({_kind(step, path)})"
        for path, ref in sorted(step.preview.derived.items())
        if path == name or path.startswith((f"{name}.", f"{name}["))
    ]
    return "".join(marks)


def _kind(step: SealedStep, path: str) -> str:
    if any(overlap(allowed, path) for allowed in step.may_drift):
        return "derived; any value of it is approved"
    return "derived"


def _quoted(text: str) -> str:
    # an agent writes these texts: they must not read like part of the preview
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=True)
