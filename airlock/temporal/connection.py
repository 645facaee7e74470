"""Connection to Temporal with Temporal's own settings and the data converter that every run needs."""

import asyncio
import atexit
import re
import sys
import time
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import GetSystemInfoRequest
from temporalio.client import Client
from temporalio.converter import DataConverter
from temporalio.envconfig import ClientConfig
from temporalio.service import RPCError, RPCStatusCode

from airlock.base import names
from airlock.base.errors import AirlockError
from airlock.base.keyring import Keyring
from airlock.program import program
from airlock.temporal.proof import ProofCodec
from airlock.temporal.proof_converter import ProofConverter
from airlock.temporal.safe_converter import SafeDataConverter
from airlock.temporal.tracing import tracing_interceptors


def data_converter(keyring: Keyring | None = None) -> DataConverter:
    """Return the data converter of a worker with these keys, or of a process without keys."""
    keys = keyring or Keyring()
    # one converter per workflow instance: it remembers what that instance has asked
    made: Any = ProofConverter(keys.demands).fresh
    return SafeDataConverter(payload_converter_class=made, payload_codec=ProofCodec(keys))


DATA_CONVERTER = data_converter()


def keyring_of(client: Client) -> Keyring:
    """Return the keys that a client was connected with."""
    codec = client.data_converter.payload_codec
    return codec.keyring if isinstance(codec, ProofCodec) else Keyring()


_RECORDS_BUILD_IDS: WeakSet[Client] = WeakSet()
"""The clients whose server says that it knows build ids."""
_AT_THE_END = 0.2
"""Seconds that a connected program waits before it exits; see `_let_threads_finish`."""

_KEYWORD = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
_KEYWORD_LIST = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD_LIST
SEARCH_ATTRIBUTES = {
    names.ATTRIBUTE_STATE: _KEYWORD,
    names.ATTRIBUTE_SINCE: IndexedValueType.INDEXED_VALUE_TYPE_DATETIME,
    names.ATTRIBUTE_RISK: _KEYWORD,
    names.ATTRIBUTE_OUTCOME: _KEYWORD,
    names.ATTRIBUTE_AGENTS: _KEYWORD_LIST,
    names.ATTRIBUTE_RESOURCES: _KEYWORD_LIST,
}


class ConnectionFailed(AirlockError):
    """Temporal does not answer at the configured address."""


class SearchAttributeConflict(AirlockError):
    """The namespace has a search attribute with one of Airlock's names and another type."""


def address() -> str:
    """Return the configured address of Temporal, for messages."""
    return str(ClientConfig.load_client_connect_config().get("target_host") or "localhost:7233")


async def connect(keyring: Keyring | None = None) -> Client:
    """Return a client, set up by Temporal's own environment variables and profile.

    `TEMPORAL_ADDRESS`, `TEMPORAL_PROFILE`, ....

    Raises:
        ConnectionFailed: If no server answers there; the message names the setting to check.
        ConfigError: If `AIRLOCK_TRACING` is neither 0 nor 1, or is 1 without OpenTelemetry.
    """
    try:
        config = ClientConfig.load_client_connect_config()
    except (RuntimeError, ValueError) as error:
        raise ConnectionFailed(
            f"Temporal's settings cannot be used: {_first_line(error)}. Check TEMPORAL_PROFILE"
        ) from error
    config.setdefault("target_host", "localhost:7233")
    target = str(config["target_host"])
    if "://" in target:
        raise ConnectionFailed(f"TEMPORAL_ADDRESS is a URL, {target!r}: write HOST:PORT, such as localhost:7233")
    interceptors = tracing_interceptors()
    _wait_at_the_end()
    try:
        return await Client.connect(**config, data_converter=data_converter(keyring), interceptors=interceptors)
    except (RuntimeError, ValueError, RPCError) as error:
        raise ConnectionFailed(
            f"Temporal does not answer at {config['target_host']}: {_first_line(error)}. "
            f"{'' if ':' in target else 'The address names no port: write HOST:PORT. '}"
            f"Check TEMPORAL_ADDRESS, or start a server with: {program()} dev"
        ) from error


async def connect_to(address: str, namespace: str = "default", keyring: Keyring | None = None) -> Client:
    """Return a client of one particular server, without TLS; for a server this program started itself.

    Raises:
        ConnectionFailed: If no server answers there.
    """
    _wait_at_the_end()
    try:
        return await Client.connect(
            address, namespace=namespace, data_converter=data_converter(keyring), interceptors=tracing_interceptors()
        )
    except (RuntimeError, RPCError) as error:
        raise ConnectionFailed(f"Temporal does not answer at {address}: {_first_line(error)}") from error


async def connect_patiently(say: Callable[[str], None] | None = None, keyring: Keyring | None = None) -> Client:
    """Like `connect`, but tries again until a server answers, and says so; for a worker that starts before its server."""
    wait = 1.0
    while True:
        try:
            return await connect(keyring)
        except ConnectionFailed as error:
            (say or _to_stderr)(f"{error}\nTrying again in {wait:.0f} s.")
            await asyncio.sleep(wait)
            wait = min(wait * 2, 30.0)


async def ensure_search_attributes(client: Client) -> tuple[str, ...]:
    """Register the missing search attributes.

    Returns:
        The added names, sorted.

    Raises:
        SearchAttributeConflict: If one exists with another type; none is added then.
    """
    request = ListSearchAttributesRequest(namespace=client.namespace)
    listed = await client.operator_service.list_search_attributes(request, retry=True)
    there = dict(listed.custom_attributes)
    wrong = sorted(name for name, kind in SEARCH_ATTRIBUTES.items() if name in there and there[name] != kind)
    if wrong:
        described = ", ".join(f"{name} is {IndexedValueType.Name(there[name])}" for name in wrong)
        raise SearchAttributeConflict(
            f"search attributes of namespace {client.namespace!r} have the wrong type: {described}; expected "
            f"{', '.join(f'{name} {IndexedValueType.Name(SEARCH_ATTRIBUTES[name])}' for name in wrong)}. "
            "Use another namespace, or have its operator remove them"
        )
    missing = {name: kind for name, kind in SEARCH_ATTRIBUTES.items() if name not in there}
    if missing:
        try:
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
            )
        except RPCError as error:
            if error.status is not RPCStatusCode.ALREADY_EXISTS:  # another worker registered them first
                raise
    return tuple(sorted(missing))


def records_build_ids(client: Client) -> bool:
    """Return True if the server of a client is known (`learn_of_server`) to record a worker's build id with each task.

    The time-skipping test server does not: a replay could not tell there which worker ended a task.
    """
    return client in _RECORDS_BUILD_IDS


async def learn_of_server(client: Client) -> None:
    """Ask what the server of a client can do; for a client that workers are made of.

    Raises:
        RPCError: If it does not answer.
    """
    info = await client.workflow_service.get_system_info(GetSystemInfoRequest(), retry=True)
    if info.capabilities.build_id_based_versioning:
        _RECORDS_BUILD_IDS.add(client)


def _wait_at_the_end() -> None:
    atexit.unregister(_let_threads_finish)  # one wait, however often a program connects
    atexit.register(_let_threads_finish)


def _let_threads_finish() -> None:
    """Let the SDK's threads finish before the interpreter is finalised.

    The thread that delivers an answer wakes the program before it has released the interpreter lock. A short program may
    be exiting by then. Finalisation kills that thread, which aborts the process with exit code 134 (sdk-python
    issue 300). A short sleep lets the thread run.
    """
    time.sleep(_AT_THE_END)


def refusal_of(error: RPCError) -> str:
    """Return the sentence that Temporal refused a request, with the fix where the namespace is wrong."""
    said = f"Temporal refused: {error.message.rstrip('.')}"
    if error.status is RPCStatusCode.NOT_FOUND and error.message.startswith("Namespace "):
        return f"{said}. Check TEMPORAL_NAMESPACE, or make it: temporal operator namespace create --namespace NAME"
    return said


def _first_line(error: BaseException) -> str:
    text = str(error).splitlines()[0] if str(error) else type(error).__name__
    # "Connection refused" instead of the chain of transport errors around it
    cause = re.search(r'message: "([^"]+)"', text) or re.search(r'"dns error".*error: "([^"]+)"', text)
    return cause[1] if cause else text


def _to_stderr(message: str) -> None:
    print(message, file=sys.stderr, flush=True)  # noqa: T201  # a worker that is not connected yet has no other output
