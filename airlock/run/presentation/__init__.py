"""Texts that people read about a run: the preview, the preview of an undo, and the status."""
