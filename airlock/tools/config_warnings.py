"""The warnings about an operator's file that can be used: for `airlock check`, and for the log of a worker at its start."""

from collections.abc import Iterator, Mapping

from airlock.admission.configuration.config import Config
from airlock.admission.configuration.notify_config import url_problem
from airlock.admission.configuration.suspicions import suspicions
from airlock.admission.configuration.tool_entries import SecretName
from airlock.base.errors import Problem, SecretError
from airlock.base.likely import likely
from airlock.plans.catalogue import Catalogue
from airlock.tools.secret_source import secret_of
from airlock.tools.settings_environment import empty_variables, variable_warnings


def config_warnings(config: Config, catalogue: Catalogue, environment: Mapping[str, str]) -> tuple[Problem, ...]:
    """Return what is suspicious in a file, beside its catalogue and in the environment of this process."""
    smtp = ("smtp",) if any(receiver.kind == "email" for receiver in config.notify.values()) else ()
    return (
        *suspicions(config),
        *_misspelt_permissions(config, catalogue),
        *_filters(config, catalogue),
        *_secret_addresses(config),
        *variable_warnings(environment, sorted({*catalogue.sections, *smtp})),
        *empty_variables(environment),
    )


def _misspelt_permissions(config: Config, catalogue: Catalogue) -> Iterator[Problem]:
    """Yield a warning for each granted permission that no tool asks for, and that is nearly one that a tool asks for."""
    wanted = {permission for name in catalogue.names for permission in catalogue.contract(name).permissions}
    for agent, entry in config.policy.agents.items():
        for permission in entry.permissions:
            if permission != "*" and permission not in wanted and (close := likely(permission, sorted(wanted))):
                message = f"grants {permission!a}, which no tool of the catalogue asks for"
                where = f"policy.agents.{agent}.permissions"
                yield Problem(where=where, message=message, fix=f"did you mean {close!r}?")


def _filters(config: Config, catalogue: Catalogue) -> Iterator[Problem]:
    """Yield a warning for each receiver that waits for plans with a tool that is not in the catalogue."""
    for name, receiver in config.notify.items():
        for tool in receiver.tools:
            if tool.endswith("*"):
                there = any(known.startswith(tool[:-1]) for known in catalogue.names)
            else:
                there = tool in catalogue.names
            if not there:
                close = likely(tool.rstrip("*"), catalogue.names)
                fix = (
                    f"did you mean {close!r}?" if close else "correct its spelling, or remove it: `airlock tools` lists them"
                )
                message = f"{tool[:80]!a} fits no tool of the catalogue"
                yield Problem(where=f"notify.{name}.tools", message=message, fix=fix)


def _secret_addresses(config: Config) -> Iterator[Problem]:
    """Yield a warning for each receiver whose secret address is at hand here, and cannot be that of such a receiver."""
    for name, receiver in config.notify.items():
        if isinstance(receiver.url, SecretName):
            try:
                address = secret_of(receiver.url.name)
            except (SecretError, OSError, UnicodeDecodeError):
                continue
            if problem := url_problem(receiver, address):
                fix = f"correct the secret {receiver.url.name}, or kind"
                yield Problem(where=f"notify.{name}.url", message=problem, fix=fix)
