"""Each read of Temporal is asked again where a connection is just being replaced, as a server does every few minutes."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SERVICES = ("workflow_service", "operator_service")
READS = ("describe_", "get_", "list_", "count_")


def single_reads(source: str) -> list[str]:
    """Return the reads of a text that are asked only once: without `retry`, and without a time of their own."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        service = node.func.value
        is_read = isinstance(service, ast.Attribute) and service.attr in SERVICES and node.func.attr.startswith(READS)
        if is_read and not {keyword.arg for keyword in node.keywords} & {"retry", "timeout"}:
            found.append(f"{node.lineno}: {node.func.attr}")
    return found


def test_what_counts_as_a_read_that_is_asked_once() -> None:
    once = "await client.workflow_service.list_workflow_executions(request)"
    assert single_reads(once) == ["1: list_workflow_executions"]
    assert single_reads(once.replace("request", "request, retry=True")) == []
    assert single_reads("await client.workflow_service.signal_workflow_execution(request)") == []


@pytest.mark.parametrize("room", ["airlock", "activities", "workflows"])
def test_no_read_is_asked_only_once(room: str) -> None:
    files = [path for path in (ROOT / room).rglob("*.py") if not any(parent.is_symlink() for parent in path.parents)]
    once = {str(path.relative_to(ROOT)): single_reads(path.read_text(encoding="utf-8")) for path in files}
    assert {path: reads for path, reads in once.items() if reads} == {}
