"""The tools of all HTTP services that `[openapi.<name>]` of `airlock.toml` names, as the operator rates them."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from airlock.admission.configuration.openapi_config import OpenApiService
from airlock.admission.configuration.tool_entries import ToolEntry
from airlock.base.errors import ConfigError, ContractError, Problem, ToolFailed
from airlock.base.text import listed, shorten
from airlock.plans.tool import Tool
from airlock.tools.openapi.document import answer_schema, asked_of, operations, whole_document
from airlock.tools.openapi.requests import Operation, ServiceCalls, files_of, open_answer_of, output_type
from airlock.tools.openapi.security import chosen, given_credentials, needed
from airlock.tools.openapi.servers import first_server, own_server
from airlock.tools.openapi.watch import Watch, fetched, is_url
from airlock.tools.rated.definitions import Definition, Definitions, UnusableDefinitions, definitions_of
from airlock.tools.rated.rated_entry import tools_of, wrong_name
from airlock.tools.rated.system import RatedSystem
from airlock.tools.web import HttpSettings

_AT_ONCE = 16
"""Documents that are fetched at the same time."""


@dataclass(frozen=True)
class Described:
    """The operations of one document."""

    server: str
    """The address before the paths."""
    usable: Mapping[str, Definition]
    refused: Mapping[str, str]
    """The reasons why operations cannot be tools, by id, or by method and path."""
    text: bytes
    """The document as it was read."""
    unmet: Mapping[str, str]
    """The security schemes that operations need, and of which the operator has given none, by id."""


def tools_of_services(
    services: Mapping[str, OpenApiService], contracts: Mapping[str, Mapping[str, Any]]
) -> tuple[list[Tool], list[Problem]]:
    """Return the tools of some services, and a problem for each document and each entry that cannot be used.

    Args:
        services: The sections, by name.
        contracts: The sections `[contracts]`, by tool.
    """
    tools: list[Tool] = []
    problems: list[Problem] = []
    with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="airlock-openapi") as threads:
        read = {name: threads.submit(described, name, service) for name, service in services.items()}
    for name, service in services.items():
        try:
            found = read[name].result()
        except ConfigError as error:
            problems += error.problems
            continue
        made, wrong = tools_of(_system(name, service, found), contracts)
        tools += made
        problems += [_refused(problem, found.refused) for problem in wrong]
    return tools, problems


def described(name: str, service: OpenApiService) -> Described:
    """Read the document of a service.

    Raises:
        ConfigError: If it cannot be read or used; the message says what to do.
    """
    if wrong := wrong_name("openapi", name):
        raise ConfigError([wrong])
    try:
        return _read(service, fetched(service.document))
    except ContractError as error:
        fix = "correct document, server, variables, security or only"
        raise ConfigError([Problem(where=f"openapi.{name}", message=str(error), fix=fix)]) from error
    except UnusableDefinitions as error:
        fix = "name the operations that are needed in only"
        raise ConfigError([Problem(where=f"openapi.{name}", message=str(error), fix=fix)]) from error


def _read(service: OpenApiService, text: bytes) -> Described:
    """Return what a document describes.

    Raises:
        ContractError: If it cannot be used.
        UnusableDefinitions: If it describes too much.
    """
    try:
        document = whole_document(text, service.document)
        came_from = service.document if is_url(service.document) else ""
        server = (service.server or first_server(document, service.variables, came_from, "server")).rstrip("/")
        usable, refused, unmet = _operations(document, service)
    except (AttributeError, TypeError, KeyError, ValueError, RecursionError) as error:  # a document may hold anything
        said = shorten(f"{type(error).__name__}: {error}", 200)
        raise ContractError(f"{service.document} is no valid OpenAPI document: {said}") from error
    if missing := [name for name in service.only if name not in {*refused, *(each.name for each in usable)}]:
        raise ContractError(f"only names {missing[0]!r}, which is no operation of the document")
    return Described(server, definitions_of(usable), refused, text, unmet)


def _operations(
    document: Mapping[str, Any], service: OpenApiService
) -> tuple[list[Operation], dict[str, str], dict[str, str]]:
    usable: list[Operation] = []
    refused: dict[str, str] = {}
    unmet: dict[str, str] = {}
    credentials = given_credentials(document, service.security)
    given = {name.lower() for name in service.headers} | {each.name.lower() for each in credentials.values()}
    for path, method, operation in operations(document):
        name = str(operation["operationId"])
        if service.only and name not in service.only:
            continue
        try:
            made = _operation(document, service, given, path, method, operation)
        except ContractError as error:
            refused[name] = str(error)
            continue
        alternatives = needed(document, operation)
        carried = chosen(alternatives, credentials)
        usable.append(made.model_copy(update={"credentials": carried}))
        if not carried and alternatives and () not in alternatives:
            unmet[name] = " or ".join(listed(each) for each in alternatives)
    return usable, refused, unmet


def _operation(
    document: Mapping[str, Any],
    service: OpenApiService,
    given: set[str],
    path: str,
    method: str,
    operation: Mapping[str, Any],
) -> Operation:
    if service.server is None and (own := own_server(operation)):
        raise ContractError(f"it has a server of its own, {own}: give it a section of its own, with server and only")
    asked = asked_of(document, path, operation, given)
    said = {key: str(operation[key]) if operation.get(key) else None for key in ("summary", "description")}
    return Operation(
        name=str(operation["operationId"]),
        title=said["summary"] or shorten(f"{method.upper()} {path}", 200),
        description=said["description"],
        input_schema=asked.schema,
        output_schema=answer_schema(document, operation),
        method=method.upper(),
        path=path,
        writings=asked.writings,
        media=asked.media,
        parts=asked.parts,
    )


def _system(name: str, service: OpenApiService, found: Described) -> RatedSystem:
    def read(text: bytes) -> Definitions:
        now = _read(service, text)
        if now.server != found.server:
            raise ToolFailed(f"the document of service {name!r} names the server {now.server} now; it was {found.server}")
        return now.usable

    watch = Watch(service.document, found.text, found.usable, read)
    calls = ServiceCalls(found.server, service.headers, service.security, found.usable, watch)
    given = {"headers", *(["security"] if service.security else [])}
    return RatedSystem(
        section="openapi",
        name=name,
        shown=f"service {name!r}",
        definitions=found.usable,
        entries=service.tools,
        entry_model=ToolEntry,
        way=[found.server, service.model_dump(mode="json", include=given)],
        reach=calls.reach,
        output=output_type,
        open_answer=open_answer_of,
        sent=files_of,
        secrets=service.secrets,
        settings=HttpSettings,
        levels=2,
    )


def _refused(problem: Problem, refused: Mapping[str, str]) -> Problem:
    """Return the problem of an entry, with the reason if its operation cannot be a tool."""
    why = refused.get(problem.where.split(".tools.", 1)[-1])
    return problem if why is None else Problem(where=problem.where, message=f"is not offered: {why}", fix="remove it")
