"""The old home of the tool decorator; gone in 0.3. Import from `airlock` instead.

Importing a submodule sets it as an attribute of its package. A plain module here would therefore replace the decorator
`airlock.tool` in every program that imports both ways. So the decorator itself takes the place of this module, with the old
names as its attributes.
"""

import sys
import warnings

from airlock.plans import tool as _home

_OLD_NAMES = ("Preview", "Probe", "Tool", "ToolCall", "tool")

warnings.warn("import from `airlock` instead of `airlock.tool`, which is gone in 0.3", DeprecationWarning, stacklevel=2)
for _name in _OLD_NAMES:
    setattr(_home.tool, _name, getattr(_home, _name))
sys.modules[__name__] = _home.tool  # type: ignore[assignment]  # a function, where a module is expected
