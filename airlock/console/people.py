"""The people who may sign in, by the operator's file. It is read again when it changes: who is taken out is out at once."""

import logging
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from airlock.admission.configuration.config import Config
from airlock.admission.configuration.console_config import ConsoleConfig
from airlock.admission.roles import MEMBERS_OF, has_role
from airlock.base.errors import ConfigError
from airlock.base.person import folded, name_problem, same_person
from airlock.console.sessions import Session
from airlock.signing.passkey import Passkey
from airlock.tools.operator_file import read_config

LONGEST_NAME = 200
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Read:
    stamp: tuple[int, int]
    config: Config


class People:
    """The people of one operator's file.

    A file that cannot be read any more changes nothing: the people of its last good form stay, and a log line says why.

    Args:
        path: The operator's file.

    Raises:
        ConfigError: If it cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = _Read(_stamp(path), read_config(path))

    @property
    def config(self) -> Config:
        """The operator's file as it is now."""
        try:
            stamp = _stamp(self._path)
        except OSError:
            return self._read.config
        if stamp != self._read.stamp:
            try:
                self._read = _Read(stamp, read_config(self._path))
            except ConfigError as error:
                _log.warning("the changed file is not used: %s", error)
                self._read = _Read(stamp, self._read.config)
        return self._read.config

    @property
    def console(self) -> ConsoleConfig:
        """The section `[console]` as it is now."""
        return self.config.console

    @property
    def can_enter(self) -> bool:
        """True if there is a way to sign in."""
        console = self.console
        return console.oidc is not None or any(
            passkey.rp_id == console.host and console.url in passkey.origins for passkey in self.config.policy.passkeys
        )

    def passkey(self, credential: str) -> Passkey | None:
        """Return the passkey of a credential that this console may ask; None if none is registered."""
        console = self.console
        return next(
            (
                passkey
                for passkey in self.config.policy.passkeys
                if passkey.credential == credential and passkey.rp_id == console.host and console.url in passkey.origins
            ),
            None,
        )

    def passkeys_of(self, person: str) -> tuple[Passkey, ...]:
        """Return the passkeys with which a person can sign decisions at this console."""
        console = self.console
        return tuple(
            passkey
            for passkey in self.config.policy.passkeys
            if same_person(passkey.person, person) and passkey.rp_id == console.host and console.url in passkey.origins
        )

    def label_of(self, session: Session) -> str:
        """Return the label of the passkey with which a person signed in; empty if it has none."""
        passkey = self.passkey(session.credential) if session.method == "passkey" else None
        return "" if passkey is None else passkey.label

    def unfit(self, person: str) -> str:
        """Return the reason why no person may sign in under a name; empty for a fit name, even of a person who may not."""
        if not person.strip() or len(person) > LONGEST_NAME:
            return "the name is empty or too long"
        return name_problem(person)

    def disguised(self, person: str) -> str:
        """Return the reason why a name of an identity provider is not taken; empty if it is.

        Every spelling of a name is one person here. A person who chooses a name at a provider could write that of another
        with letters of full width, or with one that draws nothing, and decide as that person.
        """
        if folded(person) == " ".join(unicodedata.normalize("NFC", person).casefold().split()) or person in self._named:
            return ""
        return (
            f"it is another spelling of {folded(person)!r}, which counts as that person: let the provider write it plainly, "
            "or write it in the operator's file just so"
        )

    @property
    def _named(self) -> frozenset[str]:
        """The names in the operator's file, as it spells them."""
        policy = self.config.policy
        members = (name for names in policy.roles.values() for name in names)
        return frozenset((*self.console.people, *policy.approvers, *members, *(one.person for one in policy.passkeys)))

    def problem(self, person: str) -> str:
        """Return the reason why a person may not sign in; empty if they may."""
        if problem := self.unfit(person):
            return problem
        config = self.config
        allowed = config.console.people
        if not allowed or any(_is(config, entry, person) for entry in allowed):
            return ""
        return "this person is not among those who may sign in (people, in the section [console])"

    def still_valid(self, session: Session) -> bool:
        """Return True if the person of a session may still sign in."""
        if session.method == "passkey":
            passkey = self.passkey(session.credential)
            if passkey is None or not same_person(passkey.person, session.person):
                return False
        return not self.problem(session.person)


def _is(config: Config, entry: str, person: str) -> bool:
    if entry.startswith(MEMBERS_OF):
        return has_role(config.policy.roles, entry.removeprefix(MEMBERS_OF), person)
    return same_person(entry, person)


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size
