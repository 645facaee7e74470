"""The sections `[notify.<receiver>]`: what is read, and what is refused with its key and its fix."""

import pytest

from airlock.admission.configuration.config import parse_config
from airlock.admission.configuration.notify_config import AlertKind
from airlock.base.errors import ConfigError

SLACK = '[notify.chat]\nkind = "slack"\nurl = { "$secret" = "CHAT" }\n'


def test_a_receiver_is_read_with_its_defaults() -> None:
    receiver = parse_config(SLACK).notify["chat"]
    assert receiver.events == tuple(AlertKind)
    assert receiver.secrets == ("CHAT",)
    assert (receiver.zone, receiver.warn_before, receiver.digest, receiver.quiet) == ("UTC", "1h", None, None)


def test_a_whole_receiver_is_read() -> None:
    config = parse_config(
        """
        [policy.roles]
        finance = ["jo"]
        [notify.desk]
        kind = "email"
        to = { "@finance" = "finance@example.com", bob = "bob@example.com" }
        events = ["waiting"]
        risks = ["HIGH"]
        link = "https://console.example.com/plans/{plan_id}"
        zone = "Europe/Berlin"
        quiet = { from = "22:00", to = "07:00", except = ["system_locked"] }
        digest = { every = "1h" }
        escalate = { after = "30m", to = "boss" }
        [notify.boss]
        kind = "webhook"
        url = "https://example.com/hook"
        secret = [{ "$secret" = "NEW" }, { "$secret" = "OLD" }]
        events = []
        """
    )
    desk = config.notify["desk"]
    assert desk.stands_for == ("@finance", "bob")
    assert desk.quiet is not None
    assert desk.quiet.exempt == (AlertKind.SYSTEM_LOCKED,)
    assert config.notify["boss"].secrets == ("NEW", "OLD")


@pytest.mark.parametrize(
    ("text", "where", "told"),
    [
        ('[notify.chat]\nkind = "slack"\nurl = "https://hooks.example.com/T1"', "notify.chat", "is a secret"),
        ('[notify.chat]\nkind = "slack"', "notify.chat", "needs a url"),
        ('[notify.hook]\nkind = "webhook"\nurl = "https://example.com"', "notify.hook", "signs its messages"),
        ('[notify.desk]\nkind = "email"', "notify.desk", "needs addresses"),
        ('[notify.desk]\nkind = "email"\nto = { a = "a@b.test, c@d.test" }', "notify.desk", "not one plain mail address"),
        ('[notify.desk]\nkind = "email"\npeople = ["a"]\nto = { a = "a@b.test" }', "notify.desk", "names in `to`"),
        ('[notify.desk]\nkind = "email"\nto = { "@gone" = "a@b.test" }', "notify.desk", "there is no such role"),
        (SLACK + 'people = ["airlock"]', "notify.chat", "are not people"),
        (SLACK + 'zone = "Mars/../etc"', "notify.chat.zone", "no IANA time zone"),
        (SLACK + 'warn_before = "soon"', "notify.chat.warn_before", "is not a duration"),
        (SLACK + 'digest = { every = "2d" }', "notify.chat.digest.every", "between 1m and 24h"),
        (SLACK + 'quiet = { from = "7", to = "08:00" }', "notify.chat.quiet.from", "no time of day"),
        (SLACK + 'quiet = { from = "07:00", to = "07:00" }', "notify.chat.quiet", "nothing would ever be sent"),
        (SLACK + 'link = "javascript:alert(1)"', "notify.chat.link", "begins with https://"),
        (SLACK + 'link = "https://a.test/{plan}"', "notify.chat.link", "only {plan_id} and {workflow_id} stand"),
        (SLACK + 'escalate = { after = "1h", to = "boss" }', "notify.chat.escalate", "there is no receiver"),
        (SLACK + 'escalate = { after = "1h", to = "chat" }', "notify.chat.escalate", "goes in a circle: chat -> chat"),
        (SLACK + 'event = ["waiting"]', "notify.chat.event", ""),
        (SLACK.replace("chat", "Chat"), "notify.Chat", "is no name of a receiver"),
    ],
)
def test_a_wrong_receiver_is_told_with_its_key(text: str, where: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config(text)
    assert [problem.where for problem in error.value.problems] == [where]
    assert told in error.value.problems[0].message
    assert error.value.problems[0].fix


def test_a_misspelt_key_names_the_likely_one() -> None:
    with pytest.raises(ConfigError, match="did you mean 'events'"):
        parse_config(SLACK + 'event = ["waiting"]')
