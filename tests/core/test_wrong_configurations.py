"""Files of operators with one mistake each: it is named with its key and a fix, and none is taken in silence."""

import base64
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from airlock.admission.configuration.config import parse_config
from airlock.admission.configuration.suspicions import suspicions
from airlock.base.errors import ConfigError, Problem

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGr4gBEecg58F5a0v0jTNwENfFbs7sBspRVDVuThlHHi"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHm1Vi6P5lT5QHixEuipi6eQH4U65pW+1+DjkQutBJZk"
HOOK = '[notify.hook]\nkind = "webhook"\nsecret = { "$secret" = "KEY" }\n'
CHAT = '[notify.chat]\nkind = "slack"\nurl = { "$secret" = "CHAT" }\n'
OPS = '[policy.roles]\nops = ["ann"]\n'
RULE = '[[policy.rule]]\nid = "big"\n'


def cose(**changed: Any) -> str:
    numbers = generate_private_key(SECP256R1()).public_key().public_numbers()
    key: dict[int, Any] = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32), -3: numbers.y.to_bytes(32)}
    key |= {int(name.replace("m", "-").strip("k")): value for name, value in changed.items()}
    return base64.urlsafe_b64encode(cbor2.dumps(key)).decode().rstrip("=")


GOOD = cose()


def passkey(person: str = "ann", credential: str = "AAAA", key: str = GOOD, domain: str = "x.test", page: str = "") -> str:
    return (
        f'[[policy.passkeys]]\nperson = "{person}"\ncredential = "{credential}"\npublic_key = "{key}"\n'
        f'rp_id = "{domain}"\norigins = ["{page or f"https://{domain}"}"]\n'
    )


def problems_of(text: str) -> tuple[Problem, ...]:
    try:
        parse_config(text, file="a.toml")
    except ConfigError as error:
        return error.problems if error.file == "a.toml" else ()
    return ()


@pytest.mark.parametrize(
    ("text", "where", "told"),
    [
        (f'{HOOK}url = "https://hooks.slack.com/services/x"', "notify.hook", 'write kind = "slack"'),
        (f'{HOOK}url = "https://a.webhook.office.com/x"', "notify.hook", 'write kind = "teams"'),
        (f'{HOOK}url = "http://example.com/x"', "notify.hook", "must begin with https://, or insecure = true"),
        (f'{HOOK}url = "example.com/x"', "notify.hook", "is no web address"),
        (f'{HOOK}url = "https:///x"', "notify.hook", "names no host"),
        (f'{HOOK}url = "https://example.com:port/"', "notify.hook", "is not a URL"),
        (f'{HOOK}url = "https://ann:pass@example.com/"', "notify.hook", "holds a user or a password"),
        (f"{CHAT}attempts = true", "notify.chat.attempts", "is true or false, not a whole number"),
        ('[notify]\nkind = "slack"', "notify.kind", "such as [notify.name]"),
        (passkey(key="AAAA"), "policy.passkeys.0.public_key", "is no public key of a passkey"),
        (passkey(key=GOOD[:40]), "policy.passkeys.0.public_key", "is no public key of a passkey"),
        (passkey(key=cose(m2k=b"\1" * 32)), "policy.passkeys.0.public_key", "not on the curve"),
        (passkey(key=cose(k3=99)), "policy.passkeys.0.public_key", "UnsupportedAlgorithm"),
        (passkey(domain="https://x.test"), "policy.passkeys.0.rp_id", "is no domain"),
        (passkey(page="https://y.test"), "policy.passkeys.0.origins", "is not a page of x.test"),
        (passkey(page="https://x.test/"), "policy.passkeys.0.origins", "no / at its end"),
        (passkey(page="http://x.test"), "policy.passkeys.0.origins", "is plain http"),
        (passkey("airlock"), "policy.passkeys.0.person", "are not people"),
        (passkey() * 2, "policy.passkeys.1", "stands there twice"),
        (passkey() + passkey("bob"), "policy.passkeys", "have the same key"),
        ('[policy.passkeys]\nperson = "ann"', "policy.passkeys", "write [[policy.passkeys]]"),
        (f'[policy]\nauthorized_keys = ["{KEY}"]', "policy.authorized_keys.0", "end it with the name of its person"),
        ('[policy]\nauthorized_keys = ["ssh-ed25519 AAA ann"]', "policy.authorized_keys.0", "Invalid"),
        (f'[policy]\nauthorized_keys = ["no-pty {KEY} ann"]', "policy.authorized_keys.0", "not an Ed25519 or ECDSA key"),
        (f'[policy]\nauthorized_keys = ["{KEY} ann", "{KEY} bob"]', "policy.authorized_keys", "have the same key"),
        (f'[policy]\nauthorized_keys = ["{KEY} airlock"]', "policy.authorized_keys", "are not people"),
        ("[policy.roles]\nops = []", "policy.roles.ops", "has no people"),
        (f"{OPS}[policy.decisions.unlock]\nroles = ['op']", "policy.decisions.unlock.roles", "there are ops"),
        (
            f'{OPS}[policy.decisions.unlock]\nroles = ["ops"]\n[policy.decisions.unlock.by_risk.HIGH]\npeople = 2',
            "policy.decisions.unlock.by_risk.HIGH.people", "1 of them has the role",
        ),
        (
            '[policy.roles]\none = ["ann"]\ntwo = ["bob"]\n'
            '[policy.decisions.unlock.by_risk]\nLOW = { roles = ["one"] }\nHIGH = { roles = ["two"] }',
            "policy.decisions.unlock.by_risk.HIGH.roles", "have 0 of the 1 people",
        ),
        (
            f'[policy]\napprovers = ["bob"]\n{OPS}[policy.decisions.approve]\nroles = ["ops"]',
            "policy.decisions.approve.roles", "0 of those in policy.approvers",
        ),
        (
            '[policy]\napprovers = ["bob"]\n[policy.decisions.approve.by_risk.HIGH]\npeople = 2',
            "policy.decisions.approve.by_risk.HIGH.people", "1 of those in policy.approvers",
        ),
        (
            f'[policy]\nauthorized_keys = ["{KEY} ann"]\n{passkey()}[policy.decisions.abort]\nevidence = "ssh"\n'
            '[policy.decisions.abort.by_risk.HIGH]\nevidence = "passkey"',
            "policy.decisions.abort.by_risk.HIGH.evidence", "signed in two ways",
        ),
        ("[policy.decisions.approve]\npeople = 0", "policy.decisions.approve.people", "at least 1"),
        ("[policy.decisions.approve]\npeople = true", "policy.decisions.approve.people", "not a whole number"),
        ("[policy.decisions.approve]\nnot_after = 2020-01-01", "policy.decisions.approve.not_after", "it is no time"),
        ('[policy.decisions.approve]\nnot_after = ["2020-01-01T00:00:00"]', "policy.decisions.approve.not_after.0", "lock"),
        ("[policy.decision.approve]\npeople = 2", "policy.decision", "did you mean 'decisions'?"),
        ("[policy.decisions.approve.by_risk.high]\npeople = 2", "policy.decisions.approve.by_risk.high", "'HIGH'"),
        (f'{RULE}when = "step.tool =="\nthen = "deny"', "policy.rule.big.when", "is no CEL expression"),
        (f'{RULE}when = "stp.tool"\nthen = "deny"', "policy.rule.big.when", "which is no variable"),
        (f'{RULE}when = "1 + 1"\nthen = "deny"', "policy.rule.big.when", "is no condition"),
        (f'{RULE}when = "true"\nthen = "ask(two)"', "policy.rule.big.then", "must be"),
        (f"{RULE}when = 'true'\nthen = 'ask(1, \"fin\")'", "policy.rule.big.then", "which is no role"),
        (
            f'[policy]\napprovers = ["ann"]\n{RULE}when = "true"\nthen = "ask(3)"',
            "policy.rule.big.then", "asks for 3 approvals, but 1 can approve",
        ),
        (
            f'[policy]\napprovers = ["ann", "bob"]\nauthorized_keys = ["{KEY} ann"]\n{OPS}'
            f'[policy.decisions.approve]\nevidence = "ssh"\n{RULE}when = "true"\nthen = "ask(2)"',
            "policy.rule.big.then", "asks for 2 approvals, but 1 can approve",
        ),
        ('[policy.rule]\nid = "big"', "policy.rule", "write [[policy.rule]]"),
        (
            f'[policy]\napprovers = ["ann", "bob"]\napprovals_required = 2\nsignature_required = "high"\n'
            f'authorized_keys = ["{KEY} ann"]',
            "policy.signature_required", "1 approver of the 2 that must agree has a key",
        ),
        ("[policy]\napprovals_required = true", "policy.approvals_required", "not a whole number"),
        ("[policy.budget]\ncost = inf", "policy.budget.cost", "without inf"),
        ('[console]\nurl = "http://console.test"', "console.url", "is plain http"),
        ('[console.oidc]\nissuer = "https://"\nclient_id = "x"', "console.oidc.issuer", "names no host"),
        ('[console.oidc]\nissuer = "https://login.test"', "console.oidc.client_id", "add the key client_id to"),
        ('[mcp.crm]\nurl = "crm.test/mcp"', "mcp.crm", "is no web address"),
        ('[mcp.crm]\ncommand = " "', "mcp.crm", "command is empty"),
        ('[mcp.crm]\nurl = "https://crm.test"\nheaders = { A = { secret = "X" } }', "mcp.crm.headers.A", "is neither"),
        ('[mcp.crm]\ncommand = "x"\n[mcp.crm.tools.t]\ndry_run = "reads"', "mcp.crm.tools.t.dry_run", 'must be "none"'),
        ('[openapi.bill]\ndocument = ""', "openapi.bill.document", "is empty"),
        ('[openapi.bill]\ndocument = "a.json"\nserver = "bill.test"', "openapi.bill.server", "is no web address"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_key_and_a_fix(text: str, where: str, told: str) -> None:
    (problem,) = problems_of(text)
    assert problem.where == where
    assert told in f"{problem.message} ({problem.fix})"
    assert problem.fix


def test_a_demand_that_can_be_met_is_no_mistake() -> None:
    text = f"""
        [policy]
        approvers = ["ann", "Bob"]
        approvals_required = 2
        signature_required = "always"
        authorized_keys = ["{KEY} ann", "{OTHER} bob"]
        [policy.roles]
        ops = ["ann", "bob", "eve"]
        [policy.decisions.approve]
        roles = ["ops"]
        evidence = "signed"
        [policy.decisions.approve.by_risk.HIGH]
        people = 2
        evidence = "ssh"
        [[policy.rule]]
        id = "big"
        when = "true"
        then = "ask(2, 'ops')"
        """
    assert problems_of(text) == ()
    assert suspicions(parse_config(text)) == ()


def test_a_passkey_satisfies_what_must_be_signed() -> None:
    assert problems_of(f'[policy]\nsignature_required = "always"\n{passkey()}') == ()


def test_mistakes_of_every_section_are_told_at_once() -> None:
    text = f"""
        [policy]
        authorized_keys = ["{KEY}", "{OTHER} bob", "ssh-ed25519 AAA eve"]
        aprovers = ["bob"]
        [policy.roles]
        none = []
        {RULE}when = "stp.tool"
        then = "deny"
        [[policy.rule]]
        id = "other"
        when = "true"
        then = "denied"
        [[policy.rule]]
        id = "last"
        when = 3
        then = "deny"
        {passkey(key="AAAA")}
        [console]
        url = "http://console.test"
        [notify.Hook]
        kind = "slack"
        url = {{ "$secret" = "CHAT" }}
        """
    assert {problem.where for problem in problems_of(text)} == {
        "policy.authorized_keys.0", "policy.authorized_keys.2", "policy.aprovers", "policy.roles.none",
        "policy.rule.big.when", "policy.rule.other.then", "policy.rule.last.when",
        "policy.passkeys.0.public_key", "console.url", "notify.Hook",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "where", "told"),
    [
        (f'[policy]\napprovers = ["alice"]\nauthorized_keys = ["{KEY} alice1x"]', "policy.authorized_keys", "no approver"),
        (f'[policy]\napprovers = ["ann"]\n{passkey("bob")}', "policy.passkeys", "no approver and to no role"),
        (f'[policy]\nauthorized_keys = ["{KEY} ann", "{KEY} ann"]', "policy.authorized_keys", "stands there twice"),
        ('[policy.roles]\nops = ["ann", "Ann"]', "policy.roles.ops", "are one person"),
        ('[policy]\napproval_waived_for = ["HIGH"]', "policy.approval_waived_for", "names HIGH"),
        (f'[console]\nurl = "https://y.test"\n{passkey()}', "policy.passkeys.0.origins", "do not hold https://y.test"),
        ('[console]\nidle = "9h"', "console.idle", "a session ends after 8h"),
        (
            f"{RULE}when = 'step.args.a.all(x, x in step.args.b)'\nthen = 'deny'",
            "policy.rule.big.when",
            "step.args.b for each",
        ),
    ],
)
def test_what_is_only_suspicious_is_a_warning(text: str, where: str, told: str) -> None:
    assert problems_of(text) == ()
    (warning,) = suspicions(parse_config(text))
    assert warning.where == where
    assert told in warning.message
    assert warning.fix
