"""The old name of the Python door, for programs in a checkout; gone in 0.3. Import from `airlock.client` instead.

The wheel has one top-level name, `airlock`, so this one is not in it.
"""

import warnings

from airlock.client import *  # noqa: F403
from airlock.client import __all__ as __all__

warnings.warn(
    "import from `airlock.client` instead of `airlock_client`, which is gone in 0.3", DeprecationWarning, stacklevel=2
)
