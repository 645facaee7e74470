"""The places of secrets: environment variables of the worker, and files."""

import os
from collections.abc import Mapping
from pathlib import Path

from airlock.admission.needed_secrets import variable
from airlock.base.errors import SecretError

FOLDER_VARIABLE = "AIRLOCK_SECRETS_DIR"


def secret_of(name: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return the value of a secret: `AIRLOCK_SECRET_<NAME>`, or the file of that name in `AIRLOCK_SECRETS_DIR`.

    Raises:
        SecretError: If there is no such secret; the message says where it was looked for, never a value.
    """
    where_set = variable(name)
    value = environment.get(where_set)
    folder = environment.get(FOLDER_VARIABLE)
    if value is None and folder and Path(name).name == name:
        path = Path(folder) / name
        value = path.read_text(encoding="utf-8") if path.is_file() else None
    if value is None:
        where = f"{where_set} in its environment" + (f" or a file {name} in {FOLDER_VARIABLE}" if folder else "")
        raise SecretError(f"this worker has no secret {name!r}: it needs {where}")
    value = value.rstrip("\r\n")  # most files end in one, and so does what `echo` put into a variable
    if not value:  # what a deployment passes on of a variable that is not set
        raise SecretError(f"the secret {name!r} of this worker is empty: give {where_set} or its file a value")
    return value
