"""The contract of a tool: its risk, reversibility, permissions, resources and timeout."""

from collections.abc import Mapping
from enum import StrEnum
from string import Formatter
from typing import Any

from pydantic import Field, field_validator

from airlock.base.canonical import digest
from airlock.base.model import FileModel, is_empty


class Mode(StrEnum):
    """The mode of a call, from harmless to real."""

    MOCK = "MOCK"
    DRY_RUN = "DRY_RUN"
    LIVE = "LIVE"

    @property
    def rank(self) -> int:
        """0 for MOCK, 1 for DRY_RUN, 2 for LIVE."""
        return _MODE_RANK[self]


_MODE_RANK = {mode: rank for rank, mode in enumerate(Mode)}


def lowest(*modes: Mode) -> Mode:
    """Return the most harmless of some modes."""
    return min(modes, key=lambda mode: mode.rank)


LONGEST_TIMEOUT = 86_400.0
"""The longest timeout of one attempt, in seconds."""


class Risk(StrEnum):
    """The harm that a wrong call can do."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"

    @property
    def rank(self) -> int:
        """0 for LOW, 1 for MEDIUM, 2 for HIGH."""
        return list(Risk).index(self)


class Reversibility(StrEnum):
    """The ways to undo the effect of a live call."""

    READ_ONLY = "read_only"
    REVERSIBLE = "reversible"
    COMPENSABLE = "compensable"
    IRREVERSIBLE = "irreversible"


class Fidelity(StrEnum):
    """The accuracy of a dry run: how closely it checks the state that the live call would meet."""

    NATIVE = "native"
    PROBE = "probe"
    SIMULATED = "simulated"
    NONE = "none"


UNDOABLE = (Reversibility.REVERSIBLE, Reversibility.COMPENSABLE)
"""The promises that a live call has an effect and that it can be undone."""
PINS = frozenset({"arguments_digest", "definition", "entry"})
"""The fields that pin what a tool is. No operator's override may set one."""
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


class Contract(FileModel):
    """The promises of a tool about its calls."""

    tool: str
    description: str = ""
    risk: Risk
    reversibility: Reversibility
    permissions: tuple[str, ...] = ()
    secrets: tuple[str, ...] = Field(default=(), exclude_if=is_empty)
    """The arguments that may hold a `$secret`, as paths: `headers` allows `headers.Authorization` too."""
    needs_secrets: tuple[str, ...] = Field(default=(), exclude_if=is_empty)
    """The secrets that the tool asks for by itself, so that a missing one is found before a plan is approved."""
    may_drift: tuple[str, ...] = Field(default=(), exclude_if=is_empty)
    """The arguments that a live call may find changed since its preview, as paths: `row` allows `row.amount` too."""
    resources: tuple[str, ...] = ()
    """Templates over the arguments, such as `contact:{email}`."""
    depends_on_tools: tuple[str, ...] = ()
    """The tools that must be called before this one."""
    timeout: float = Field(default=30.0, gt=0, le=LONGEST_TIMEOUT)
    """Seconds for one attempt."""
    max_attempts: int = Field(default=3, ge=1, le=100)
    """The most attempts, the first one included."""
    idempotent: bool = False
    fenced: bool = Field(default=False, exclude_if=lambda fenced: not fenced)
    """True if no attempt that began earlier can have an effect once a probe was answered "no", or a later attempt succeeded.

    The target itself must see to that, by `ToolCall.fence` and the idempotency key. Only then does the probe's "no" settle a
    call whose worker was lost: the worker may only be frozen.
    """
    approval_required: bool = True
    max_concurrent: int | None = Field(default=None, ge=1)
    rate_limit: str | None = Field(default=None, pattern=r"^[1-9]\d*/[smhd]$")
    """The most calls in a stretch of time, as `"<calls>/<s|m|h|d>"`."""
    fidelity: Fidelity = Fidelity.NONE
    cost: float = Field(default=0.0, ge=0)
    """The cost of one call, in the operator's own unit."""
    arguments_digest: str = ""
    """The digest of the JSON Schema of the arguments, descriptions included."""
    definition: str = Field(default="", exclude_if=is_empty)
    """The digest of all that an MCP server says of the tool, and of the names of its other tools; empty for other tools."""
    entry: str = Field(default="", exclude_if=is_empty)
    """The digest of what an operator's entry says of a tool beside these fields, mappings and target; empty without one."""
    has_dry_run: bool = False
    has_compensate: bool = False
    has_probe: bool = False

    @field_validator("permissions", "secrets", "needs_secrets", "may_drift", "depends_on_tools", mode="before")
    @classmethod
    def _sorted(cls, value: object) -> object:
        # authors write sets, whose order depends on the hash seed and must not reach a digest
        if isinstance(value, set | frozenset | list | tuple) and all(isinstance(item, str) for item in value):
            return tuple(sorted(set(value)))
        return value

    @field_validator("resources")
    @classmethod
    def _templates(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for template in value:
            fields = [field for _, field, _, _ in Formatter().parse(template) if field is not None]
            if not all(field.isidentifier() for field in fields):
                raise ValueError(f"{template!r}: name an argument between the braces, for example 'contact:{{email}}'")
        return value

    @property
    def read_only(self) -> bool:
        """True if a live call changes nothing."""
        return self.reversibility is Reversibility.READ_ONLY

    @property
    def irreversible(self) -> bool:
        """True if a live call can never be undone."""
        return self.reversibility is Reversibility.IRREVERSIBLE

    @property
    def undoable(self) -> bool:
        """True if a live call has an effect that can be undone."""
        return self.reversibility in UNDOABLE

    def attempts(self, *, checked: bool) -> int:
        """Return the number of attempts that a live call may have, 1 or more.

        A call whose outcome is unknown may be repeated only if it is read-only, idempotent, or both reversible and checked.
        Every other call is made once.

        Args:
            checked: True if the preview observed a state that the live call compares before it writes.
        """
        may_repeat = self.read_only or self.idempotent or (checked and self.reversibility is Reversibility.REVERSIBLE)
        return self.max_attempts if may_repeat else 1

    @property
    def quota(self) -> tuple[int, float] | None:
        """The calls that `rate_limit` allows and the seconds of its window, or None without a limit."""
        if self.rate_limit is None:
            return None
        calls, _, unit = self.rate_limit.partition("/")
        return int(calls), _SECONDS[unit]

    @property
    def guarded(self) -> bool:
        """True if the call is made alone, not in a chain: HIGH risk or irreversible."""
        return self.risk is Risk.HIGH or self.irreversible

    def digest(self) -> str:
        """Return the hash over the contract, without `fenced` and `needs_secrets`: neither says what the call does."""
        return digest(self.model_dump(mode="json", exclude={"fenced", "needs_secrets"}))

    def takes_secret(self, keys: tuple[str | int, ...]) -> bool:
        """Return True if a `$secret` may stand at these keys of the arguments; positions in lists do not count."""
        names = tuple(key for key in keys if isinstance(key, str))
        return any(names[: len(path)] == path for path in (tuple(path.split(".")) for path in self.secrets))


def resource_names(contract: Contract, args: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the resources that a call touches, sorted: the contract's templates filled in from the arguments.

    A template whose argument is absent, or not known yet, is left out.
    """
    names: set[str] = set()
    for template in contract.resources:
        fields = [field for _, field, _, _ in Formatter().parse(template) if field]
        values = {field: args.get(field) for field in fields}
        if all(isinstance(value, str | int | float) for value in values.values()):
            names.add(template.format(**values))
    return tuple(sorted(names))


def contradictions(contract: Contract) -> tuple[str, ...]:
    """Return one sentence for each contradiction in a contract; empty if it is consistent."""
    checks = (
        (
            contract.risk is Risk.HIGH and not contract.approval_required,
            "risk HIGH needs approval: remove approval_required=False, or lower the risk",
        ),
        (
            contract.undoable and not contract.has_compensate,
            f"reversibility {contract.reversibility.value!r} needs a compensate function: add one with "
            f"@{contract.tool}.compensate, or declare it irreversible",
        ),
        (
            contract.irreversible and contract.has_compensate,
            "an irreversible tool cannot have a compensate function: declare it reversible or compensable, or remove it",
        ),
        (
            contract.irreversible and not contract.approval_required,
            "an irreversible tool needs approval: remove approval_required=False",
        ),
        (
            contract.read_only and contract.has_compensate,
            "a read_only tool has nothing to compensate: remove the compensate function, or declare it reversible",
        ),
        (
            contract.read_only and contract.risk is Risk.HIGH,
            "a read_only tool cannot be HIGH risk: declare the reversibility it really has, or lower the risk",
        ),
        (
            contract.fenced and not contract.has_probe,
            "fenced says what the probe's answer is worth, but there is no probe function: add one with "
            f"@{contract.tool}.probe, or remove fenced",
        ),
        (
            contract.fidelity is Fidelity.NONE and contract.has_dry_run,
            "fidelity 'none' says there is no dry run, but there is a dry_run function: declare native, probe or simulated",
        ),
        (
            contract.fidelity is not Fidelity.NONE and not contract.has_dry_run,
            f"fidelity {contract.fidelity.value!r} needs a dry_run function: add one with @{contract.tool}.dry_run",
        ),
    )
    return tuple(message for wrong, message in checks if wrong)
