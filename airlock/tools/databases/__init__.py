"""Rows of SQL databases: reads, changes that are tried first, and their undo."""
