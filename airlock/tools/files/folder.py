"""The folder that confines the file tools: valid paths, and the state of a file."""

import hashlib
import json
import os
import stat
from pathlib import Path, PurePosixPath
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from airlock.base.errors import ToolFailed
from airlock.base.text import shorten
from airlock.tools.common import Settings, Texts, required

PRIVATE = ".airlock"
"""The part of the folder that holds backups; no plan can address it."""


_MAX_PARENTS = 50_000
"""Bytes that the names of the folders above a file may take as JSON."""


class FileSettings(Settings):
    """The section `[settings.files]`."""

    section: ClassVar[str] = "files"
    root: str = ""
    """The folder that every path is relative to and that no call leaves."""
    show_former: Texts = ()
    """Patterns of files, such as `notes/*.md`, whose former text previews show; `*` stands for anything, also for `/`.

    The text is then in the plan's history, and everyone who may read a preview reads it: name no file that may hold secrets.
    """


def _plain(path: str) -> str:
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or str(pure) != path or path == "." or set(path) & {"\\", "\0"}:
        raise ValueError("must be a relative path in its plain form, such as 'notes/jo.txt', that stays in the folder")
    if pure.parts[0].casefold() == PRIVATE:
        raise ValueError(f"{PRIVATE!r} is where backups are kept: choose another folder")
    return path


RelativePath = Annotated[
    str,
    Field(min_length=1, max_length=1_024, description="relative to the operator's folder, with forward slashes"),
    AfterValidator(_plain),
]
"""A path with one spelling only, so that the resource `file:{path}` identifies the file."""


class FileState(BaseModel):
    """The state of a file: the hash of its bytes and its mode in octal; both None if there is no file."""

    model_config = ConfigDict(frozen=True)

    sha256: str | None = None
    mode: str | None = None
    size: int = 0

    @classmethod
    def of(cls, content: bytes, mode: int) -> Self:
        """Return the state of a file with these bytes and this mode."""
        return cls(sha256=hashlib.sha256(content).hexdigest(), mode=f"{mode:04o}", size=len(content))

    @property
    def exists(self) -> bool:
        """True if there is a file."""
        return self.sha256 is not None


ABSENT = FileState()


class FileInfo(TypedDict):
    """A file: its path, its size in bytes and the SHA-256 of its content in hex."""

    path: str
    bytes: int
    sha256: str


def info_of(path: str, state: FileState) -> FileInfo:
    """Return what the file tools return about a file in this state."""
    return {"path": path, "bytes": state.size, "sha256": str(state.sha256)}


def folder_of(settings: FileSettings) -> Path:
    """Return the folder, with symbolic links resolved.

    Raises:
        ToolFailed: If the operator named none, or if it is not a folder.
    """
    named = required(settings.root, "settings.files.root")
    try:
        root = Path(named).expanduser().resolve()
        if root.is_dir():
            return root
    except (OSError, RuntimeError, ValueError) as error:
        raise ToolFailed(f"settings.files.root cannot be followed: {_said(error)}") from error
    raise ToolFailed("settings.files.root is not a folder: create it, or correct the setting")


def place(root: Path, path: str) -> Path:
    """Return the location of a file in the folder.

    At the time of the call neither the file nor any folder on the way to it is a symbolic link.

    Raises:
        ToolFailed: If the path leads through a symbolic link, through a file instead of a folder, or through so many
            folders that their names do not fit into an undo token.
    """
    target = root / path
    if len(json.dumps(parents(path))) > _MAX_PARENTS:
        raise ToolFailed(f"{shorten(path, 80)!r} is in too many folders: name one that is less deep")
    try:
        if target.resolve() != target:
            raise ToolFailed(f"{path!r} leads through a symbolic link: name the file itself")
        for parent in parents(path):
            if (root / parent).exists() and not (root / parent).is_dir():
                raise ToolFailed(f"{parent!r} is not a folder, so {path!r} cannot be in it")
    except (OSError, RuntimeError) as error:
        raise ToolFailed(f"{path!r} cannot be followed: {_said(error)}") from error
    return target


def _said(error: Exception) -> str:
    """Return the message of an error, without the path of the operator's folder."""
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__


def parents(path: str) -> list[str]:
    """Return the folders above a path, the deepest first, without the root."""
    return [str(parent) for parent in PurePosixPath(path).parents][:-1]


def state_of(target: Path) -> FileState:
    """Return the present state of a file.

    Raises:
        ToolFailed: If it is not a regular file, or if it cannot be read.
    """
    try:
        file = os.open(target, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT
    except OSError as error:
        raise ToolFailed(f"{target.name!r} cannot be read: {error.strerror}") from error
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise ToolFailed(f"{target.name!r} is not a regular file")
        with os.fdopen(file, "rb", closefd=False) as opened:
            sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    finally:
        os.close(file)
    return FileState(sha256=sha256, mode=f"{stat.S_IMODE(status.st_mode):04o}", size=status.st_size)
