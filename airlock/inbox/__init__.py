"""The inbox on a terminal: what waits for a person, its preview, and the decisions about it."""
