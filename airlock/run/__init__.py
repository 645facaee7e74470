"""One plan's run as pure state: rehearsal, seal, decisions, calls, rollback and views."""
