"""MCP servers as tools, by configuration alone: `[mcp.<server>]` in `airlock.toml`."""
