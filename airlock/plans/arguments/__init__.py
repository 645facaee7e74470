"""The arguments of a call: the model that checks them, of Python or of a JSON Schema, and their one canonical form."""
