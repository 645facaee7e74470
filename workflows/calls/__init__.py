"""The calls of a plan, as its workflow commands them: through the gates into LIVE, and back in ROLLBACK."""
