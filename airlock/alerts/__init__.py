"""Messages about plans, as pure decisions: what is told to which receiver, when, and in which words."""
