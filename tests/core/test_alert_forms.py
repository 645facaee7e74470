"""The forms of a message: within the limits of each receiver, and with nothing in it that a plan could forge."""

import base64
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from airlock.admission.configuration.notify_config import AlertKind
from airlock.alerts.asked import Asked
from airlock.alerts.foreign import foreign
from airlock.alerts.mail import mail_texts
from airlock.alerts.message import Entry, Line, Message, digest_message, entry, link_of, message, trial_message
from airlock.alerts.slack import MAX_BLOCKS, MAX_SECTION, slack_body
from airlock.alerts.teams import MAX_BYTES, teams_body
from airlock.alerts.webhook import alert_view, body_of, notification, signed_headers, signing_key
from tests.core.alerts_build import SINCE, alert, receiver

LINKED = receiver(link="https://console.example.com/plans/{plan_id}")
FORGED = (
    "<!channel> <https://evil.test/x|Approve> [Approve](https://evil.test) @here evil.test/approve www.evil.test "
    "javascript:alert(1) mailto:a@b.test 10.11.12.13/approve evil。test "
    "<a href='//evil.test'>x</a> <img src=x> `code` \u202egnp.exe \n*bold*"
)


def shown(**more: Any) -> Message:
    return message("notify-chat-1", alert(**more), LINKED, Asked(("alice",)))


def long_digest(number: int) -> Message:
    text = "word " * 400
    entries = tuple(
        (entry(alert(plan_id=f"p{each}", goal=text, why=text), LINKED, Asked(("alice",))), True) for each in range(number)
    )
    return digest_message("notify-chat-digest-1", entries, LINKED)


def texts(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [found for each in value.values() for found in texts(each)]
    if isinstance(value, list):
        return [found for each in value for found in texts(each)]
    return [value] if isinstance(value, str) else []


def buttons(value: Any) -> list[str]:
    return [text for text in texts(value) if text.startswith("http")]


def test_a_foreign_text_holds_no_link_no_mention_and_nothing_unseen() -> None:
    told = foreign(FORGED)
    for forged in (
        "://",
        "<",
        ">",
        "`",
        "@here",
        "evil.test",
        "evil。test",
        "10.11.12.13",
        "mailto:",
        "javascript:",
        "\u202e",
        "\n",
    ):
        assert forged not in told, forged
    assert "⟨U+202E⟩" in told


def test_a_foreign_text_that_does_not_fit_says_so() -> None:
    assert foreign("a" * 700).endswith("… (100 more characters are not shown here)")


def test_a_goal_cannot_end_its_quotes() -> None:
    text = mail_texts(shown(goal='Pay" expires: never')).text
    assert 'goal: "Pay\\" expires: never"' in text


@pytest.mark.parametrize("plain", ["Pay invoice 4711 (v1.2), 3.50 EUR", "问候。世界, ask Jo; then mail it"])
def test_an_ordinary_text_is_left_as_it_is(plain: str) -> None:
    assert foreign(plain) == plain


@pytest.mark.parametrize("form", [slack_body, teams_body])
def test_the_only_link_is_that_of_the_button(form: Any) -> None:
    forged = {"goal": FORGED, "requested_by": FORGED, "agents": (FORGED,), "tools": (FORGED,)}
    body = form(shown(**forged))
    assert buttons(body) == ["https://console.example.com/plans/p1"]
    assert "evil.test" not in json.dumps(body)
    assert "<!channel>" not in json.dumps(body)


def test_slack_shows_foreign_text_as_plain_text_only() -> None:
    body = slack_body(shown(goal=FORGED))
    assert {block["type"] for block in body["blocks"]} == {"header", "section", "actions"}
    assert all(block["text"]["type"] == "plain_text" for block in body["blocks"] if "text" in block)
    (action,) = body["blocks"][-1]["elements"]
    assert action["type"] == "button"
    assert "value" not in action


def test_slack_keeps_to_its_limits_and_says_what_does_not_fit() -> None:
    body = slack_body(long_digest(120))
    assert len(body["blocks"]) <= MAX_BLOCKS
    assert all(len(block["text"]["text"]) <= MAX_SECTION for block in body["blocks"] if block["type"] == "section")
    kept = sum("goal:" in block["text"]["text"] for block in body["blocks"] if block["type"] == "section")
    assert f"{120 - kept} more do not fit" in json.dumps(body)


def test_teams_keeps_to_its_limit_and_says_what_does_not_fit() -> None:
    body = teams_body(long_digest(120))
    assert len(json.dumps(body).encode()) <= MAX_BYTES
    assert re.search(r"\d+ more do not fit", json.dumps(body))
    (attachment,) = body["attachments"]
    assert {block["type"] for block in attachment["content"]["body"]} == {"RichTextBlock"}
    assert [action["type"] for action in attachment["content"]["actions"]] == ["Action.OpenUrl"]


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_mail_is_escaped_and_loads_nothing() -> None:
    mail = mail_texts(shown(goal=FORGED, tools=(FORGED,)))
    tags = Tags()
    tags.feed(mail.html)
    assert not {"img", "script", "style", "link", "iframe", "form"} & {tag for tag, _ in tags.found}
    assert [attributes["href"] for tag, attributes in tags.found if tag == "a"] == ["https://console.example.com/plans/p1"]
    assert "evil.test" not in mail.text
    assert "\n" not in mail.subject


def test_a_digest_by_mail_links_each_plan_and_says_what_does_not_fit() -> None:
    mail = mail_texts(long_digest(201))
    tags = Tags()
    tags.feed(mail.html)
    links = [attributes["href"] for tag, attributes in tags.found if tag == "a"]
    assert links[:2] == ["https://console.example.com/plans/p0", "https://console.example.com/plans/p1"]
    assert links[-1] == "https://console.example.com/plans/"
    for text in (mail.html, mail.text):
        assert "1 more do not fit" in text
    assert "https://console.example.com/plans/p199" in mail.text


@pytest.mark.parametrize(
    ("link", "plan", "opened"),
    [
        ("https://ui.example.com/workflows/{workflow_id}", "p1", "https://ui.example.com/workflows/plan-p1"),
        ("https://ui.example.com/workflows/{workflow_id}", "undo-p1", "https://ui.example.com/workflows/undo-p1"),
        ("https://ui.example.com/workflows/{workflow_id}", "", "https://ui.example.com/workflows/"),
        ("https://ui.example.com/list", "p1", "https://ui.example.com/list"),
    ],
)
def test_a_link_opens_the_page_of_the_plan(link: str, plan: str, opened: str) -> None:
    assert link_of(receiver(link=link), plan) == opened


def test_a_signature_is_one_that_another_library_verifies() -> None:
    keys = ["whsec_" + base64.b64encode(letter * 32).decode() for letter in (b"a", b"b")]
    now = datetime.now(UTC)  # the library refuses old ones
    headers = signed_headers("notify-hook-1", now, b"{}", [signing_key(key) for key in keys])
    for key in keys:
        assert Webhook(key).verify(b"{}", headers) == {}
    with pytest.raises(WebhookVerificationError):
        Webhook(keys[0]).verify(b"{}", headers | {"webhook-id": "notify-hook-2"})


def test_many_names_are_counted_and_not_all_shown() -> None:
    text = mail_texts(shown(agents=tuple(f"agent{number}" for number in range(15)))).text
    assert "agent9 and 5 more that are not shown here" in text


def test_a_long_line_of_a_block_is_shortened_and_says_so() -> None:
    long = Entry("t", (*tuple(Line(f"line{number}", "x" * 2000) for number in range(3)), Line("last", "y" * 4000)))
    sections = [block["text"]["text"] for block in slack_body(Message("m", "t", (long,)))["blocks"][1:]]
    assert [len(text) <= MAX_SECTION for text in sections] == [True] * 4
    assert sections[-1].endswith("… (shortened)")


def test_the_id_of_a_plan_is_no_link_in_a_mail() -> None:
    html = mail_texts(message("m", alert(plan_id="evil.com"), receiver(), Asked(("alice",)))).html
    assert "evil.com" not in html


def test_a_message_tells_who_is_asked_and_only_a_part_of_the_digest() -> None:
    text = mail_texts(shown()).text
    assert "asked: alice" in text
    assert "waits for: 1 approval of finance" in text
    assert "a1b2c3d4e5f6 " in text
    assert "a1b2c3d4e5f60718" not in text
    assert "3 steps, 2 would go live, 1 cannot be undone" in text
    assert "airlock approve" not in text


@pytest.mark.parametrize("kind", list(AlertKind))
def test_every_kind_has_its_words_and_its_body(kind: AlertKind) -> None:
    told = message("m", alert(kind), LINKED, Asked(everyone=True))
    assert told.title
    body = body_of(notification(f"plan.{kind.value}", "chat", [alert_view(alert(kind), Asked(), None)], SINCE))
    assert json.loads(body)["alerts"][0]["kind"] == kind.value


def test_a_test_message_is_marked_in_every_form() -> None:
    told = trial_message("m", "chat", LINKED)
    for text in (json.dumps(slack_body(told)), json.dumps(teams_body(told)), mail_texts(told).subject):
        assert "[TEST]" in text


def test_an_escalated_message_says_that_there_is_no_answer_yet() -> None:
    told = message("m", alert(), LINKED, Asked(("alice",)), escalated=True)
    assert slack_body(told)["text"] == "No answer yet: Plan p1 waits for approval"


def test_programs_get_marked_texts_and_are_told_what_is_shortened() -> None:
    view = alert_view(alert(goal=FORGED, tools=tuple(f"t{number}" for number in range(60))), Asked(("alice",)), None)
    assert "evil.test" not in view.goal
    assert len(view.tools) == 50
    assert view.shortened
    assert notification("digest", "chat", [view] * 250, SINCE).more == 50


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!", "plain", "whsec_c2hvcnQ="])
def test_a_weak_or_malformed_secret_is_refused_without_showing_it(secret: str) -> None:
    with pytest.raises(ValueError, match="is not whsec_") as error:
        signing_key(secret)
    assert not secret or secret == "whsec_" or secret not in str(error.value)
