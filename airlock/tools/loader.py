"""The loader of the catalogue that the operator's configuration names."""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from airlock.admission.configuration.config import SETTINGS_PREFIX, Config
from airlock.base.errors import ConfigError, ContractError, Problem
from airlock.base.likely import likely
from airlock.plans.catalogue import Catalogue, section_names
from airlock.plans.tool import Tool
from airlock.tools.drift_entries import drift_problems
from airlock.tools.secret_source import secret_of
from airlock.tools.settings_environment import settings_problems

WHERE = "catalogue.modules"
LIST = "TOOLS"
"""The name of a module's list of tools, for tools that have no name in the module."""


def load_catalogue(config: Config) -> Catalogue:
    """Load the catalogue of every tool in the modules that the configuration names.

    The current working directory is searched for modules too.

    Raises:
        ConfigError: If a module cannot be imported, holds no tool or a wrong `TOOLS`, or if tools, overrides or settings are
            wrong; it names each of them.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    tools: dict[int, Tool] = {}
    problems: list[Problem] = []
    for name in config.catalogue.modules:
        module = _imported(_home_of(name))
        if isinstance(module, Problem):
            problems.append(module)
            continue
        try:
            found = tools_in(module)
        except ContractError as error:
            problems.append(_wrong_list(name, error))
            continue
        tools |= {id(tool): tool for tool in found}
        if not found:
            problems.append(_without_tools(name))
    described, wrong = _described(config)
    tools |= {id(tool): tool for tool in described}
    problems += wrong
    by_name = {tool.name: tool for tool in tools.values()}
    contracts, sections = config.contracts, (*section_names(tools.values()), *_sections_of_receivers(config))
    drifting = config.policy.may_drift
    unread = [section for section in sorted(config.settings) if not _is_read(section, sections)]
    if problems:  # a module that is missing may hold what is not found here, unless it is nearly the name of something
        contracts = {name: value for name, value in contracts.items() if name in by_name or likely(name, by_name)}
        drifting = {name: value for name, value in drifting.items() if name in by_name or likely(name, by_name)}
        unread = [section for section in unread if likely(section, sections)]
    problems += [_unread(section, sections) for section in unread]
    problems += settings_problems(os.environ, sections)
    problems += drift_problems(drifting, by_name)
    try:
        catalogue = Catalogue(tools.values(), contracts, config.settings)
    except ConfigError as error:
        raise ConfigError([*problems, *error.problems]) from error
    if problems:
        raise ConfigError(problems)
    return catalogue


def _described(config: Config) -> tuple[Sequence[Tool], Sequence[Problem]]:
    """Return the tools that other systems describe, and what is wrong with the sections that name them."""
    tools, problems = _served(config) if config.mcp else ((), ())
    if not config.openapi:
        return tools, problems
    from airlock.tools.openapi.services import tools_of_services  # few files name a document

    more, wrong = tools_of_services(config.openapi, config.contracts)
    both = [
        Problem(where=f"openapi.{name}", message="an MCP server has this name, too", fix="rename one of the two sections")
        for name in sorted(config.openapi.keys() & config.mcp.keys())
    ]
    return (*tools, *more), (*problems, *wrong, *both)


def _served(config: Config) -> tuple[Sequence[Tool], Sequence[Problem]]:
    """Return the tools of MCP servers, and what is wrong with their sections."""
    try:
        from airlock.tools.mcp.servers import tools_of_servers  # an extra
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("mcp", "httpx2"):
            raise
        fix = "pip install 'airlock-temporal[mcp]'"
        return (), [Problem(where="mcp", message="MCP servers need a package that is not installed here", fix=fix)]
    return tools_of_servers(config.mcp, secret_of, config.contracts)


def load_configured(read: Callable[[], Config], path: Path | None = None) -> tuple[Config, Catalogue]:
    """Read a configuration and load the catalogue that it names.

    Args:
        read: A function that reads the configuration.
        path: The file of the configuration; modules beside it are found from wherever the process was started.

    Raises:
        ConfigError: With the problems of both: what is wrong in the file does not hide what is wrong in the catalogue.
    """
    if path is not None and (beside := str(path.resolve().parent)) not in sys.path:
        sys.path.append(beside)
    file = "" if path is None else str(path)
    try:
        config = read()
    except ConfigError as error:
        raise ConfigError([*error.problems, *_further(error.rest)], file=error.file or file) from error
    try:
        return config, load_catalogue(config)
    except ConfigError as error:
        raise ConfigError(error.problems, file=file) from error


def _further(rest: object) -> Sequence[Problem]:
    if isinstance(rest, Config):
        try:
            load_catalogue(rest)
        except ConfigError as error:
            return error.problems
    return ()


def _sections_of_receivers(config: Config) -> tuple[str, ...]:
    """Return the settings that `airlock notify` reads, also where no tool sends mail."""
    return ("smtp",) if any(receiver.kind == "email" for receiver in config.notify.values()) else ()


def _is_read(section: str, sections: Sequence[str]) -> bool:
    # the environment may hold settings for other workers too, but the file is for this one
    prefix = f"{SETTINGS_PREFIX}{section}__".lower()
    return section in sections or any(name.lower().startswith(prefix) for name in os.environ)


def _unread(section: str, sections: Sequence[str]) -> Problem:
    close = likely(section, sections)
    meant = f"did you mean 'settings.{close}'? " if close else ""
    return Problem(
        where=f"settings.{section}",
        message="no tool of the catalogue reads a section of this name",
        fix=f"{meant}correct its spelling, or remove it; there are: {', '.join(sections) or '(none)'}",
    )


def tools_in(module: ModuleType) -> Sequence[Tool]:
    """Return the tools in a module's namespace and in its list `TOOLS`, each once: names first, in their order.

    Raises:
        ContractError: If `TOOLS` is no list of tools, or holds two tools of one name.
    """
    named = [value for value in vars(module).values() if isinstance(value, Tool)]
    return list({id(tool): tool for tool in (*named, *_listed(getattr(module, LIST, ())))}.values())


def _listed(tools: object) -> Sequence[Tool]:
    if not isinstance(tools, list | tuple):
        raise ContractError(f"{LIST} must be a list of tools, it is of type {type(tools).__name__}")
    by_name: dict[str, Tool] = {}
    for position, tool in enumerate(tools):
        if not isinstance(tool, Tool):
            raise ContractError(f"{LIST}[{position}] is no tool, it is of type {type(tool).__name__}")
        if by_name.setdefault(tool.name, tool) is not tool:
            raise ContractError(f"{LIST}[{position}] is a second tool of the name {tool.name!r}")
    return list(by_name.values())


def _home_of(name: str) -> str:
    """Return the module for a name in `catalogue.modules`: `airlock.tools` was called `tools` before 0.2."""
    return f"airlock.{name}" if name == "tools" or name.startswith("tools.") else name


def _imported(name: str) -> ModuleType | Problem:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            return _missing(name)
        return _broken(name, error)
    except (Exception, SystemExit) as error:  # noqa: BLE001 an operator's module may raise anything
        return _broken(name, error)


def _missing(name: str) -> Problem:
    return Problem(
        where=WHERE,
        message=f"there is no module {name!r}",
        fix="correct its name, install it, or start the worker in the folder that holds it",
    )


def _broken(name: str, error: BaseException) -> Problem:
    return Problem(
        where=WHERE,
        message=f"module {name!r} cannot be imported: {type(error).__name__}: {error}",
        fix=f"make `python -c 'import {name}'` work in this environment, or remove it from the list",
    )


def _without_tools(name: str) -> Problem:
    return Problem(
        where=WHERE,
        message=f"module {name!r} holds no tool",
        fix="declare one in it with @airlock.tool, import one into it, or remove it from the list",
    )


def _wrong_list(name: str, error: ContractError) -> Problem:
    return Problem(
        where=WHERE,
        message=f"module {name!r}: {error}",
        fix=f"let {LIST} hold tools only, made with airlock.tool(...)(function), each name once",
    )
