"""Tools that another system describes, as the operator rates them: those of MCP servers and OpenAPI documents."""
