"""The seals of a run: what an approver is shown, which votes count for it, and what amendments leave standing."""
