"""Files below one folder: writing and deleting, with an exact undo."""
