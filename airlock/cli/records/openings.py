"""The file of openings: it shows the hidden values of an export, and stays with their holder."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from airlock.base.errors import AirlockError
from airlock.export.fields import ExportedModel, Hash
from airlock.export.hiding import Opening, Openings
from airlock.export.ledger import line_text

_MAX_LINE_BYTES = 64 * 1024 * 1024


class SaltKey(ExportedModel):
    """First line of the file: the secret that the salts are made from, so that the next export gives the same bytes."""

    salt_key: Hash


def salt_key_of(file: Path) -> bytes:
    """Return the salt key in a file of openings; a new one if there is no such file yet.

    Raises:
        AirlockError: If the file is something else.
    """
    try:
        with file.open("rb") as opened:
            return bytes.fromhex(SaltKey.model_validate_json(opened.readline(_MAX_LINE_BYTES)).salt_key)
    except FileNotFoundError:
        return secrets.token_bytes(32)
    except (OSError, ValidationError) as error:
        raise AirlockError(f"{file} is no file of openings with its salt key: name another file") from error


def read_openings(file: Path) -> Openings:
    """Read a file of openings. Lines of it are enough: a holder may hand out those of one value.

    Raises:
        AirlockError: If a line is something else, or does not open its hash.
    """
    openings = Openings()
    for number, line in _lines(file):
        if number == 1 and _is_salt_key(line):
            continue
        try:
            good = openings.add(Opening.model_validate_json(line))
        except ValidationError as error:
            raise AirlockError(f"{file}:{number}: is no opening") from error
        if not good:
            raise AirlockError(f"{file}:{number}: the value and the salt do not give the hash: one of them was changed")
    return openings


def _lines(file: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with file.open("rb") as opened:
            number = 0
            while line := opened.readline(_MAX_LINE_BYTES):
                number += 1
                yield number, line
    except OSError as error:
        raise AirlockError(f"cannot read {file}: {error.strerror or error}") from error


def _is_salt_key(line: bytes) -> bool:
    try:
        SaltKey.model_validate_json(line)
    except ValidationError:
        return False
    return True


class OpeningsFile:
    """A new file of openings, which takes the place of an earlier one when it is complete. Only its owner may read it.

    Args:
        file: The file.
        folder: The folder of the export, in which it must not be.
    """

    def __init__(self, file: Path, folder: Path) -> None:
        if file.resolve().is_relative_to(folder.resolve()):
            raise AirlockError(f"{file} is in the exported folder: keep the openings elsewhere")
        self.key = salt_key_of(file)
        self._file = file
        self._beside = file.parent / f".{file.name}.{secrets.token_hex(4)}"
        try:
            descriptor = os.open(self._beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise AirlockError(f"cannot write {file}: {error.strerror or error}") from error
        self._output = os.fdopen(descriptor, "w", encoding="ascii")
        self._output.write(line_text(SaltKey(salt_key=self.key.hex())))

    def write(self, opening: Opening) -> None:
        """Write one opening."""
        self._output.write(line_text(opening))

    def finish(self) -> None:
        """Put the file in its place."""
        self._output.flush()
        os.fsync(self._output.fileno())
        self._output.close()
        self._beside.replace(self._file)

    def close(self) -> None:
        """Close the file, and remove it unless it was finished."""
        self._output.close()
        self._beside.unlink(missing_ok=True)
