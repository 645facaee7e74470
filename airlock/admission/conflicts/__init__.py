"""Conflicts between steps and between plans: six kinds, four answers."""
