"""The operator's overrides of contracts: what they may change, and what is refused."""

from typing import Any

import pytest

from airlock.base.errors import ConfigError, ContractError
from airlock.plans.catalogue import Catalogue
from airlock.plans.outcome import StepPreview
from airlock.run.sealing.sealed import undo_sentence
from tests.core.build import catalogue, make_tool


def wrong(*args: Any, **kwargs: Any) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        Catalogue(*args, **kwargs)
    assert all(found.fix for found in caught.value.problems)
    return [(found.where, found.message) for found in caught.value.problems]


def test_a_catalogue() -> None:
    found = catalogue()
    assert found.names == ("mail", "order", "pay", "post", "read", "write")
    assert found.get("nope") is None
    assert found.longest_timeout() == 30
    assert Catalogue([]).longest_timeout() == 0
    assert found.digest() == catalogue().digest()
    assert found.digest() != Catalogue([make_tool("read", "LOW", "read_only")]).digest()


def test_two_tools_of_one_name() -> None:
    one, two = make_tool("t", "LOW", "read_only"), make_tool("t", "LOW", "read_only")
    assert wrong([one, two]) == [("tool t", "two modules declare a tool of this name")]
    assert Catalogue([one, one]).names == ("t",)


def test_an_override_of_an_unknown_tool() -> None:
    ((where, message),) = wrong([make_tool("t", "LOW", "read_only")], {"tt": {"risk": "HIGH"}})
    assert (where, message) == ("contracts.tt", "no tool of that name is in the catalogue")


@pytest.mark.parametrize(
    ("override", "where"),
    [
        ({"risk": "huge"}, "contracts.t.risk"),
        ({"colour": "red"}, "contracts.t.colour"),
        ({"timeout": "soon"}, "contracts.t.timeout"),
        ({"entry": ""}, "contracts.t.entry"),  # it pins what was approved
        ({"definition": "0" * 64}, "contracts.t.definition"),
        ({"arguments_digest": ""}, "contracts.t.arguments_digest"),
    ],
)
def test_an_override_that_cannot_be_understood(override: dict[str, Any], where: str) -> None:
    assert wrong([make_tool("t", "LOW", "read_only")], {"t": override})[0][0] == where


def test_an_override_that_contradicts() -> None:
    ((where, message),) = wrong([make_tool("t", "LOW", "read_only")], {"t": {"reversibility": "reversible"}})
    assert where == "contracts.t"
    assert "needs a compensate function" in message


@pytest.mark.parametrize("declared", ["reversible", "compensable"])
def test_an_operator_may_declare_an_undo_away(declared: str) -> None:
    made = make_tool("t", "MEDIUM", declared, compensate=True)
    stricter = Catalogue([made], {"t": {"reversibility": "irreversible"}}).contract("t")
    assert stricter.irreversible
    assert (stricter.undoable, stricter.has_compensate) == (False, False)
    assert Catalogue([made]).contract("t").has_compensate
    looked = StepPreview(step="t", looked=True, effect="Change it.", args={}, undo="Put it back.")
    assert undo_sentence(stricter, looked) == "CANNOT be undone"


def test_only_approved_calls_lose_their_undo() -> None:
    made = make_tool("t", "MEDIUM", "reversible", compensate=True, approval_required=False)
    ((_, message),) = wrong([made], {"t": {"reversibility": "irreversible"}})
    assert "an irreversible tool needs approval" in message


def test_no_operator_declares_an_undo_into_being() -> None:
    ((_, message),) = wrong([make_tool("t", "MEDIUM", "irreversible")], {"t": {"reversibility": "reversible"}})
    assert "needs a compensate function" in message
    varied = make_tool("v", "MEDIUM", "reversible", compensate=True)
    varied.variant(lambda args: {"reversibility": "irreversible"} if args.get("hard") else {})
    loosened = Catalogue([varied], {"v": {"reversibility": "compensable"}})
    assert loosened.contract("v", {}).undoable
    with pytest.raises(ContractError, match="no override can make that undoable"):
        loosened.contract("v", {"hard": True})
    # the author contradicts himself: an override does not hide that
    both = make_tool("b", "MEDIUM", "irreversible", compensate=True)
    assert "cannot have a compensate function" in wrong([both], {"b": {"reversibility": "irreversible"}})[0][1]


def test_a_contradicting_tool_is_found_without_an_override() -> None:
    ((where, _),) = wrong([make_tool("t", "MEDIUM", "reversible")])
    assert where == "tool t"
