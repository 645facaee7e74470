"""The worker process: settings, catalogue, roles, and the Temporal workers of one process."""
