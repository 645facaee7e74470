"""The way of an alert to its receivers: filters, the people asked, quiet hours, digests, escalation."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airlock.admission.configuration.notify_config import AlertKind
from airlock.admission.policy import Policy
from airlock.alerts.alert import Alert
from airlock.alerts.asked import addresses, asked_by
from airlock.alerts.calendar import after_quiet, digest_moment, zone_problems
from airlock.alerts.routing import DIGEST, deliveries, in_digest, moment_of
from tests.core.alerts_build import EXPIRES, POLICY, SINCE, alert, mailbox, receiver

HOUR = timedelta(hours=1)


def told(alerts: list[Alert], policy: Policy = POLICY, **receivers: Any) -> list[tuple[str, str, datetime]]:
    return [(each.receiver, each.kind, each.due) for each in deliveries(alerts, receivers, policy)]


def test_a_waiting_plan_is_told_at_once_and_warned_of_before_it_expires() -> None:
    assert told([alert()], chat=receiver()) == [
        ("chat", "waiting", SINCE),
        ("chat", "expiring", EXPIRES - HOUR),
    ]


def test_a_short_wait_is_warned_of_after_its_half() -> None:
    short = alert(expires_at=SINCE + HOUR)
    assert told([short], chat=receiver(warn_before="2h"))[1] == ("chat", "expiring", SINCE + HOUR / 2)


def test_the_same_alert_has_the_same_id_and_one_that_comes_again_another() -> None:
    (first, _), (again, _) = (deliveries([alert(why=why)], {"chat": receiver()}, POLICY) for why in ("a", "b"))
    assert first.id == again.id
    assert first.id.startswith("notify-chat-")
    for change in ({"digest": "ffff"}, {"since": SINCE + HOUR}, {"plan_id": "p2"}):
        assert deliveries([alert(**change)], {"chat": receiver()}, POLICY)[0].id != first.id


@pytest.mark.parametrize(
    ("filter", "reaches"),
    [
        ({}, True),
        ({"events": ["waiting"]}, True),
        ({"events": ["locked"]}, False),
        ({"events": []}, False),
        ({"risks": ["HIGH", "MEDIUM"]}, True),
        ({"risks": ["LOW"]}, False),
        ({"agents": ["crm"]}, True),
        ({"agents": ["ops"]}, False),
        ({"tools": ["p*"]}, True),
        ({"tools": ["mail.*"]}, False),
    ],
)
def test_filters_choose_plans(filter: dict[str, Any], reaches: bool) -> None:
    assert ("waiting" in {kind for _, kind, _ in told([alert()], chat=receiver(**filter))}) is reaches


def test_filters_by_plan_let_the_system_lock_through() -> None:
    locked = alert(AlertKind.SYSTEM_LOCKED)
    assert told([locked], chat=receiver(risks=["LOW"], agents=["x"], tools=["y"])) == [("chat", "system_locked", SINCE)]


# who is asked


@pytest.mark.parametrize(
    ("people", "more", "names"),
    [
        ([], {}, ("alice", "bob")),
        (["ALICE", "mallory"], {}, ("ALICE",)),
        (["@board"], {}, ("bob",)),
        (["alice"], {"requested_by": "Alice"}, ()),
        (["alice", "bob"], {"agents": ("bob",)}, ("alice",)),
        (["alice", "bob"], {"approvals": ("alice",)}, ("bob",)),
        (["@nothing"], {}, ()),
    ],
)
def test_the_people_asked_are_those_who_may_approve(people: list[str], more: dict[str, Any], names: tuple[str, ...]) -> None:
    target = receiver(people=people)
    assert asked_by(alert(**more), target, POLICY).names == names
    assert bool(told([alert(**more)], chat=target)) is bool(names)


RULED = Policy.model_validate(
    {
        "roles": {"approver": ["alice", "bob"], "board": ["bob", "carol"]},
        "decisions": {"approve": {"roles": ["approver"], "by_risk": {"HIGH": {"roles": ["board"]}}}},
    }
)


@pytest.mark.parametrize(
    ("people", "risk", "names"),
    [
        ([], "MEDIUM", ("alice", "bob")),
        ([], "HIGH", ("bob",)),
        (["alice", "carol"], "MEDIUM", ("alice",)),
        (["alice", "carol"], "HIGH", ()),
    ],
)
def test_the_people_asked_have_the_roles_that_the_policy_wants(people: list[str], risk: str, names: tuple[str, ...]) -> None:
    found = asked_by(alert(risk=risk), receiver(people=people), RULED)
    assert (found.names, found.everyone) == (names, False)


def test_without_names_everyone_is_asked() -> None:
    assert asked_by(alert(), receiver(), Policy()).everyone


def test_what_asks_for_no_approval_reaches_people_who_may_not_approve() -> None:
    assert told([alert(AlertKind.IN_DOUBT)], chat=receiver(people=["olga"])) == [("chat", "in_doubt", SINCE)]


def test_mail_goes_to_the_addresses_of_those_asked() -> None:
    box = mailbox({"alice": "alice@x.test", "@board": "board@x.test", "olga": "olga@x.test"})
    assert addresses(alert(), box, POLICY) == ("alice@x.test", "board@x.test")
    assert addresses(alert(requested_by="alice"), box, POLICY) == ("board@x.test",)
    assert addresses(alert(AlertKind.LOCKED), box, POLICY) == ("alice@x.test", "board@x.test", "olga@x.test")


# escalation


def test_without_an_answer_the_next_receiver_is_told_and_then_the_one_after() -> None:
    chain = {
        "chat": receiver(events=["waiting"], escalate={"after": "30m", "to": "lead"}),
        "lead": receiver(events=[], escalate={"after": "1h", "to": "boss"}),
        "boss": receiver(events=[]),
    }
    assert told([alert()], **chain) == [
        ("chat", "waiting", SINCE),
        ("lead", "waiting", SINCE + HOUR / 2),
        ("boss", "waiting", SINCE + HOUR * 3 / 2),
    ]


def test_an_escalation_passes_a_receiver_none_of_whose_people_may_approve() -> None:
    chain = {
        "chat": receiver(events=["waiting"], people=["mallory"], escalate={"after": "30m", "to": "boss"}),
        "boss": receiver(events=[], people=["bob"]),
    }
    assert told([alert()], **chain) == [("boss", "waiting", SINCE + HOUR / 2)]


def test_what_a_receiver_is_told_anyway_is_not_escalated_to_it_a_second_time() -> None:
    chain = {
        "chat": receiver(events=["waiting"], escalate={"after": "30m", "to": "boss"}),
        "boss": receiver(events=["waiting"]),
    }
    assert told([alert()], **chain) == [("boss", "waiting", SINCE), ("chat", "waiting", SINCE)]


def test_what_wants_no_answer_is_not_escalated() -> None:
    chain = {"chat": receiver(escalate={"after": "30m", "to": "boss"}), "boss": receiver(events=[])}
    assert told([alert(AlertKind.ROLLED_BACK)], **chain) == [("chat", "rolled_back", SINCE)]


# quiet hours

NIGHT = {"zone": "Europe/Berlin", "quiet": {"from": "22:00", "to": "07:00", "except": ["system_locked"]}}


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-03-10T20:59:00", "2026-03-10T20:59:00"),  # 21:59 in Berlin
        ("2026-03-10T21:00:00", "2026-03-11T06:00:00"),
        ("2026-03-11T05:59:59", "2026-03-11T06:00:00"),
        ("2026-03-11T06:00:00", "2026-03-11T06:00:00"),
        ("2026-03-28T22:00:00", "2026-03-29T05:00:00"),  # the clocks go forward in this night
        ("2026-10-24T21:00:00", "2026-10-25T06:00:00"),  # and back in this one
    ],
)
def test_quiet_hours_end_by_the_clock_of_the_receiver(at: str, until: str) -> None:
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    assert after_quiet(receiver(**NIGHT), AlertKind.WAITING, moment) == datetime.fromisoformat(until).replace(tzinfo=UTC)
    assert after_quiet(receiver(**NIGHT), AlertKind.SYSTEM_LOCKED, moment) == moment


def test_what_expires_within_the_quiet_hours_is_not_told_after_them() -> None:
    night = datetime(2026, 3, 10, 23, 0, tzinfo=UTC)
    waits = alert(since=night, expires_at=night + HOUR)
    assert told([waits], chat=receiver(**NIGHT)) == []


# digests


@pytest.mark.parametrize(
    ("digest", "at", "ends"),
    [
        ({"every": "1h"}, "2026-03-10T12:00:00", "2026-03-10T13:00:00"),
        ({"every": "1h"}, "2026-03-10T12:59:59", "2026-03-10T13:00:00"),
        ({"every": "24h", "at": "08:00"}, "2026-03-10T12:00:00", "2026-03-11T07:00:00"),
        ({"every": "24h", "at": "08:00"}, "2026-03-10T06:00:00", "2026-03-10T07:00:00"),
        ({"every": "24h", "at": "08:00"}, "2026-03-28T12:00:00", "2026-03-29T06:00:00"),  # a day of 23 hours
        ({"every": "7h", "at": "00:00"}, "2026-03-10T21:00:00", "2026-03-10T23:00:00"),  # the last period is shorter
    ],
)
def test_a_digest_ends_its_period_by_the_clock_of_the_receiver(digest: dict[str, str], at: str, ends: str) -> None:
    target = receiver(zone="Europe/Berlin", digest=digest)
    assert digest_moment(target, datetime.fromisoformat(at).replace(tzinfo=UTC)) == datetime.fromisoformat(ends).replace(
        tzinfo=UTC
    )


def test_one_digest_tells_everything_of_its_period_and_what_still_stands() -> None:
    box = receiver(events=["waiting"], digest={"every": "1h"})
    early, late = alert(plan_id="early", since=SINCE - HOUR), alert(plan_id="late")
    planned = deliveries([early, late, alert(plan_id="other")], {"box": box}, POLICY)
    assert [(each.kind, each.due) for each in planned] == [(DIGEST, SINCE), (DIGEST, SINCE + HOUR)]
    assert planned[0].plan_id == ""
    for delivery, plans in ((planned[0], [("early", True)]), (planned[1], [("late", True), ("early", False)])):
        found = in_digest([early, late], "box", moment_of(delivery), {"box": box}, POLICY)
        assert [(each.plan_id, new) for each, new in found] == plans


def test_quiet_hours_put_a_digest_off() -> None:
    box = receiver(**NIGHT, events=["waiting"], digest={"every": "1h"})
    night = datetime(2026, 3, 10, 22, 30, tzinfo=UTC)
    assert told([alert(since=night, expires_at=night + 20 * HOUR)], box=box) == [
        ("box", DIGEST, datetime(2026, 3, 11, 6, 0, tzinfo=UTC))
    ]


def test_a_zone_that_this_machine_lacks_is_told() -> None:
    (problem,) = zone_problems({"chat": receiver(zone="Nowhere/City"), "other": receiver(zone="Europe/Berlin")})
    assert problem.where == "notify.chat.zone"
