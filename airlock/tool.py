"""The old home of the tool decorator; gone in 0.3. Import from `airlock` instead.

Importing a submodule sets it as an attribute of its package. A plain module here would therefore replace the decorator
`airlock.tool` in every program that imports both ways. So the decorator itself takes the place of this module, with the old
names as its attributes.
"""

import sys
import warnings

from airlock.plans.tool import Tool, tool
from airlock.plans.tool_call import Preview, Probe, ToolCall

warnings.warn("import from `airlock` instead of `airlock.tool`, which is gone in 0.3", DeprecationWarning, stacklevel=2)
for _old in (Preview, Probe, Tool, ToolCall, tool):
    setattr(tool, _old.__name__, _old)
sys.modules[__name__] = tool  # type: ignore[assignment]  # a function, where a module is expected
