"""Adapters for agent frameworks: the tool calls of one turn become one plan. One framework a module, each an extra."""
