"""The operator's file: careful without a word, and every wrong key is named."""

import pytest

from airlock.admission.configuration.config import parse_config
from airlock.admission.policy import Policy
from airlock.base.errors import ConfigError


def test_an_empty_file_is_careful() -> None:
    found = parse_config("")
    assert found.policy == Policy()
    assert found.policy.permissions_of("anybody") == ()
    assert found.catalogue.modules == ("airlock.tools",)


def test_a_whole_file() -> None:
    found = parse_config(
        """
        [catalogue]
        modules = ["tools", "my_tools"]
        [policy]
        approvals_required = 2
        approvers = ["ann", "bob"]
        approval_waived_for = ["LOW"]
        approval_timeout = "30m"
        [policy.agents.crm]
        permissions = ["b", "a"]
        [contracts.send_email]
        timeout = 5
        [settings.crm]
        base_url = "http://localhost"
        """
    )
    assert found.policy.approvals_required == 2
    assert found.policy.approval_timeout_seconds == 1_800
    assert found.policy.permissions_of("crm") == ("a", "b")
    assert found.contracts == {"send_email": {"timeout": 5}}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("policy = [", "airlock.toml"),
        ("[polcy]\n", "polcy"),
        ("policy = 3", "policy"),
        ("[policy]\napprovls_required = 2", "policy.approvls_required"),
        ("[policy]\napprovals_required = 0", "policy.approvals_required"),
        ("[policy]\napprovals_required = 'two'", "policy.approvals_required"),
        ("[policy]\nconfidence_threshold_for_live = 75", "policy.confidence_threshold_for_live"),
        ("[policy]\ndry_run_only = 'perhaps'", "policy.dry_run_only"),
        ("[policy]\nmax_live_escalations = 0", "policy.max_live_escalations"),
        ("[policy]\napproval_timeout = 'soon'", "policy.approval_timeout"),
        ("[policy]\napproval_timeout = '9999d'", "policy.approval_timeout"),
        ("[policy]\napprovers = 'ann'", "policy.approvers"),
        ("[policy]\napproval_waived_for = ['low']", "policy.approval_waived_for.0"),
        ("[policy]\nsignature_required = 'sometimes'", "policy.signature_required"),
        ("[policy.agents.crm]\npermisions = []", "policy.agents.crm.permisions"),
        ("[policy.agents.crm]\npermissions = [1, 'a']", "policy.agents.crm.permissions.0"),
        ("[policy.agents.crm]\npermissions = [['a']]", "policy.agents.crm.permissions.0"),
        ("[policy.agents]\ncrm = 'all'", "policy.agents.crm"),
        ("[catalogue]\nmodules = 'tools'", "catalogue.modules"),
        ("[contracts]\nsend_email = 5", "contracts.send_email"),
        ("[settings]\ncrm = 'x'", "settings.crm"),
    ],
)
def test_a_wrong_file_names_the_key(text: str, where: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    assert where in [found.where for found in caught.value.problems]
    assert all(found.message and found.fix for found in caught.value.problems)


def test_the_environment_has_the_last_word() -> None:
    found = parse_config(
        "[settings.crm]\nbase_url = 'http://file'\nretries = 1",
        {
            "AIRLOCK_SETTINGS__CRM__BASE_URL": "http://environment",
            "AIRLOCK_SETTINGS__SMTP__PORT": "25",
            "AIRLOCK_SETTINGS__ALONE": "x",
            "AIRLOCK_SETTINGS__CRM__": "x",
            "OTHER__CRM__BASE_URL": "x",
        },
    )
    assert found.settings == {"crm": {"base_url": "http://environment", "retries": 1}, "smtp": {"port": "25"}}
