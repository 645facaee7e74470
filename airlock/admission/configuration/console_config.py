"""The section `[console]` of the operator's file: the address of the console, and the people who may sign in."""

from urllib.parse import urlsplit

from pydantic import Field, field_validator

from airlock.admission.configuration.web_address import HTTP_OF_THIS_MACHINE, address_problem
from airlock.admission.roles import MEMBERS_OF, Roles
from airlock.base.errors import Problem
from airlock.base.model import FileModel
from airlock.plans.plan import seconds


def _address(value: str) -> str:
    if problem := address_problem(value, HTTP_OF_THIS_MACHINE):
        raise ValueError(problem)
    parts = urlsplit(value)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("write an address such as https://console.example.com, without a path")
    return value.rstrip("/").lower()


class OidcConfig(FileModel):
    """The table `[console.oidc]`: an identity provider by which people sign in."""

    issuer: str
    """The address of the provider, as it stands in its tokens."""
    client_id: str = Field(min_length=1)
    secret: str | None = None
    """The name of the secret that holds the client's password; None for a client without one."""
    claim: str = "email"
    """The claim of the ID token that is the name of the person in Airlock."""
    scopes: tuple[str, ...] = ("openid", "email", "profile")

    @field_validator("issuer")
    @classmethod
    def _reachable(cls, value: str) -> str:
        if problem := address_problem(value, HTTP_OF_THIS_MACHINE):
            raise ValueError(problem)
        return value.rstrip("/")

    @field_validator("scopes")
    @classmethod
    def _asks_for_a_token(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in value:
            raise ValueError("name the scope openid: without it there is no ID token")
        return value


class ConsoleConfig(FileModel):
    """The section `[console]`."""

    url: str = "http://localhost:8780"
    """The address that people type. Passkeys are bound to its host, and requests for any other host are refused."""
    oidc: OidcConfig | None = None
    people: tuple[str, ...] = ()
    """The people who may sign in, or `@role` for those of a role of the policy; empty lets everyone in who can."""
    idle: str = "30m"
    """The time without a click after which a session ends."""
    longest: str = "8h"
    """The time after which a session ends in any case."""

    @field_validator("url")
    @classmethod
    def _usable(cls, value: str) -> str:
        return _address(value)

    @field_validator("idle", "longest")
    @classmethod
    def _duration(cls, value: str) -> str:
        seconds(value)
        return value

    @property
    def host(self) -> str:
        """The host of the address, without its port: the relying party of passkeys."""
        return urlsplit(self.url).hostname or ""

    @property
    def takes_passkeys(self) -> bool:
        """True if its host is a name: browsers make no passkeys for an address of numbers."""
        return ":" not in self.host and not self.host.replace(".", "").isdigit()

    @property
    def netloc(self) -> str:
        """The Host header of every request that is let in."""
        return urlsplit(self.url).netloc

    @property
    def secure(self) -> bool:
        """True if browsers reach the console by https."""
        return self.url.startswith("https://")


def console_problems(console: ConsoleConfig, roles: Roles) -> tuple[Problem, ...]:
    """Return the entries of `people` that let no one in, because there is no such role."""
    return tuple(
        Problem(where="console.people", message=f"{entry!a}: there is no such role", fix="name a role of policy.roles")
        for entry in console.people
        if entry.startswith(MEMBERS_OF) and entry.removeprefix(MEMBERS_OF) not in roles
    )
