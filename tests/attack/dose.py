"""One bounded, seeded run of the attack on a real server."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as hypothesis_seed
from hypothesis.stateful import run_state_machine_as_test

from airlock.temporal.connection import connect_to, ensure_search_attributes
from tests.attack.honest import Loop
from tests.attack.machine import Attack, effects_of_attacks
from tests.processes.harness import Server


@dataclass
class Told:
    """The account of a run: the deeds of the attacker by kind, and the effects in the world."""

    deeds: Counter[str] = field(default_factory=Counter)
    effects: int = 0


def run(folder: Path, *, seed: int, examples: int, steps: int, tell: Callable[[str], None] = lambda line: None) -> Told:
    """Attack a fresh server.

    Args:
        folder: An empty folder for the server.
        seed: Equal seeds draw equal attacks. What they meet depends on time too.
        examples: The number of namespaces that are attacked, one after another.
        steps: The most that happens in each of them.
        tell: Is told one line for each namespace.

    Raises:
        AssertionError: If something took effect that was not approved, or took effect twice, or is hidden.
    """
    loop, server, told = Loop(), Server(folder), Told()
    try:
        loop.run(server.start())
        client = loop.run(connect_to(server.address))
        loop.run(ensure_search_attributes(client))

        class Bounded(Attack):
            def teardown(self) -> None:
                super().teardown()
                told.deeds += self.done
                tell(f"{len(self.handles)} plans, {dict(self.done)}")

        Bounded.loop, Bounded.server, Bounded.broken = loop, client, []
        before = effects_of_attacks().total()
        try:
            run_state_machine_as_test(
                hypothesis_seed(seed)(Bounded),
                settings=settings(
                    max_examples=examples, stateful_step_count=steps, deadline=None, database=None,
                    phases=[Phase.generate], suppress_health_check=list(HealthCheck), print_blob=False,
                ),
            )  # fmt: skip
        except Exception as error:
            if Bounded.broken:
                raise AssertionError(Bounded.broken[0]) from error
            raise
        told.effects = effects_of_attacks().total() - before
        return told
    finally:
        server.close()
        loop.close()
