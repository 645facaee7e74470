"""The scenarios of this folder. They wait for timeouts most of the time, so all that were chosen are played side by side."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.processes.harness import Outside, Scene, Server


class Stage:
    """Makes what a scenario needs, and takes all of it down when the scenario has ended."""

    def __init__(self, name: str, folder: Path, server: Server, outside: Outside) -> None:
        self.name, self.folder, self.server, self.outside = name, folder, server, outside
        self._opened: list[Scene | Server] = []

    def scene(self, server: Server | None = None) -> Scene:
        """Return a namespace of its own, on the common server or on one that this scenario has for itself."""
        scene = Scene(self.name, self.folder, server or self.server, self.outside)
        self._opened.append(scene)
        return scene

    def own_server(self) -> Server:
        """Return a server that is not running yet."""
        server = Server(self.folder / "server", [self.name])
        self._opened.append(server)
        return server

    def close(self) -> None:
        for opened in self._opened:
            opened.close()


Scenario = Callable[[Stage], Awaitable[None]]
SCENARIOS: dict[str, Scenario] = {}


def scenario(function: Scenario) -> Scenario:
    """Register a scenario under its name; its docstring says what must happen."""
    name = function.__name__.replace("_", "-")
    assert name not in SCENARIOS
    SCENARIOS[name] = function
    return function
