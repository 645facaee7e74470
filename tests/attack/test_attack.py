"""A bounded, seeded dose of the attack; `make attack` runs longer ones."""

import pytest

from tests.attack.dose import run

EXAMPLES = 3
STEPS = 12


@pytest.mark.timeout(600)
def test_an_attacker_without_keys_causes_nothing_that_was_not_approved(tmp_path_factory: pytest.TempPathFactory) -> None:
    told = run(tmp_path_factory.mktemp("attack"), seed=1, examples=EXAMPLES, steps=STEPS)
    assert told.deeds.total() >= EXAMPLES, "the attacker did next to nothing"
    assert told.effects > 0, "no honest plan took effect, so that nothing was tried"
