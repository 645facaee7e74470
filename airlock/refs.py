"""The old home of `UNKNOWN`; gone in 0.3. Import from `airlock` instead."""

import warnings

from airlock.plans.refs import UNKNOWN

__all__ = ["UNKNOWN"]

warnings.warn("import from `airlock` instead of `airlock.refs`, which is gone in 0.3", DeprecationWarning, stacklevel=2)
