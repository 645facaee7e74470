"""`make attack`: an attacker with the namespace's API and without keys, for as long as one likes."""

import random
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from tests.attack.dose import run


def main(
    seed: Annotated[int | None, typer.Option(help="repeats the same draws")] = None,
    examples: Annotated[int, typer.Option(min=1, help="namespaces to attack, one after another")] = 12,
    steps: Annotated[int, typer.Option(min=1, help="the most that happens in each")] = 25,
) -> None:
    """Attack fresh namespaces; exit 1 at the first effect that was not approved, came twice or is hidden."""
    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    typer.echo(f"seed {seed}: {examples} namespaces, at most {steps} steps in each")
    with tempfile.TemporaryDirectory() as folder:
        told = run(Path(folder), seed=seed, examples=examples, steps=steps, tell=typer.echo)
    typer.echo(f"{told.effects} effects, all approved, none twice; deeds of the attacker: {dict(told.deeds)}")


if __name__ == "__main__":
    typer.run(main)
