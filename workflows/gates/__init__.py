"""The workflows of gates and claims: places at a resource, the system lock, calls that only one plan may make."""
