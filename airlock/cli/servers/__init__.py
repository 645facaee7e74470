"""The processes that `airlock dev` starts, watches and stops."""
