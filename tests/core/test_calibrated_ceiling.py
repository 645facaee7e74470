"""Calibrated confidence at admission: it decides, is told, and never raises a ceiling."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from airlock.admission.examination import examine
from airlock.admission.reliability import Reliability
from airlock.plans.contract import Mode
from tests.core.build import catalogue, plan, policy, step


def _cap(reliability: dict[str, Reliability] | None, confidence: float = 0.95, **rules: Any) -> tuple[Mode, str]:
    proposed = plan(step("a", "write", confidence=confidence))
    answer = examine(proposed, catalogue(), policy(**rules), reliability=reliability)
    assert answer.admitted is not None
    (cap,) = answer.admitted.caps["a"]
    return cap.mode, cap.reason


def test_a_calibrated_confidence_decides_and_says_so() -> None:
    """By hand: (20 * 0.95 + 41) / 70 = 0.857142; (20 * 0.95 + 25) / 70 = 0.628571; MEDIUM goes live from 0.80."""
    known = {"write": Reliability(ok=41, calls=50)}
    assert _cap(known, calibrated_confidence=True) == (
        Mode.LIVE,
        "confidence 0.95 counts as 0.8571 (write worked in 41 of 50 calls) is enough for MEDIUM risk (0.80)",
    )
    mode, reason = _cap({"write": Reliability(ok=25, calls=50)}, calibrated_confidence=True)
    assert mode is Mode.MOCK
    assert "counts as 0.6285 (write worked in 25 of 50 calls) is below 0.65" in reason
    assert _cap(known) == (Mode.LIVE, "confidence 0.95 is enough for MEDIUM risk (0.80)"), "only where the policy wants it"


def test_without_an_answer_nothing_is_calibrated_and_the_reason_says_so() -> None:
    assert _cap(None, calibrated_confidence=True) == (
        Mode.LIVE, "confidence 0.95 (not calibrated: the monitor did not answer) is enough for MEDIUM risk (0.80)",
    )  # fmt: skip
    assert "no live call of write is known" in _cap({}, calibrated_confidence=True)[1]
    assert "(write worked in 50 of 50 calls)" in _cap({"write": Reliability(ok=50, calls=50)}, calibrated_confidence=True)[1]


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 1_000))
def test_calibration_never_raises_a_ceiling(ok: int, failed: int, thousandths: int) -> None:
    known = {"write": Reliability(ok=ok, calls=ok + failed)}
    stated = thousandths / 1_000
    assert _cap(known, stated, calibrated_confidence=True)[0].rank <= _cap(None, stated)[0].rank
