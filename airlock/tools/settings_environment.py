"""The variables `AIRLOCK_...` of the environment: one that nothing reads is probably misspelt."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from airlock.admission.configuration.config import SETTINGS_PREFIX
from airlock.base.errors import Problem
from airlock.base.likely import likely

VARIABLES: Final = (
    "AIRLOCK_CONFIG", "AIRLOCK_INDEX_KEY", "AIRLOCK_KEYS", "AIRLOCK_KEYS_FILE", "AIRLOCK_SECRETS_DIR", "AIRLOCK_TRACING",
)  # fmt: skip
"""The variables with a fixed name."""
_OPEN: Final = (SETTINGS_PREFIX, "AIRLOCK_SECRET_", "AIRLOCK_COMPLETE")
"""The beginnings of variables that are named by the operator, or by the shell."""
_FORM: Final = f"write {SETTINGS_PREFIX}<SECTION>__<KEY>, with two underscores before each name"


def settings_problems(environment: Iterable[str], sections: Sequence[str]) -> Iterator[Problem]:
    """Yield a problem for each setting that the environment means to hold and no tool gets: its name is wrong.

    Args:
        environment: The names of the variables.
        sections: The settings sections that the tools read.
    """
    for name in sorted(environment):
        if not name.upper().startswith("AIRLOCK_SETTING"):
            continue
        section, separator, key = name.removeprefix(SETTINGS_PREFIX).lower().partition("__")
        if not name.startswith(SETTINGS_PREFIX) or not separator or not key or not section:
            yield Problem(where=name, message="is no name of a setting, so that nothing reads it", fix=_FORM)
        elif section not in sections and (close := likely(section, sections)):
            meant = f"{SETTINGS_PREFIX}{close.upper()}__{key.upper()}"
            message = f"no tool of the catalogue reads a section {section!a}"
            yield Problem(where=name, message=message, fix=f"did you mean {meant}? rename or unset it")


def variable_warnings(environment: Iterable[str], sections: Sequence[str]) -> Iterator[Problem]:
    """Yield a warning for each variable that looks like one of Airlock and that nothing here reads."""
    for name in sorted(environment):
        section = name.removeprefix(SETTINGS_PREFIX).lower().partition("__")[0]
        if name.startswith(SETTINGS_PREFIX):
            if section not in sections and not likely(section, sections):
                there = ", ".join(sections) or "(none)"
                message = f"no tool of the catalogue reads a section {section!a}"
                yield Problem(
                    where=name, message=message, fix=f"unset it here if no other worker needs it; there are: {there}"
                )
        elif name in VARIABLES or name.startswith(_OPEN) or not name.startswith("AIRLOCK"):
            continue
        elif close := likely(name, VARIABLES):
            yield Problem(where=name, message="is no variable of Airlock", fix=f"did you mean {close}?")


def empty_variables(environment: Mapping[str, str]) -> Iterator[Problem]:
    """Yield a warning for each variable that is set to nothing, which counts as unset."""
    for name in VARIABLES:
        if name in environment and not environment[name].strip():
            yield Problem(where=name, message="is set to nothing, which counts as unset", fix="set it, or unset it")
