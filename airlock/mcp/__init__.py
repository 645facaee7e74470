"""Airlock as an MCP server: an agent proposes plans, follows them and withdraws its own. It can decide nothing.

Needs the extra `mcp`. `airlock mcp` starts it.
"""
