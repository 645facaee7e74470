"""Deterministic orchestration: the core decides, these workflows command. `workflows.registry` lists them."""
