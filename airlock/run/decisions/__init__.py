"""Decisions of people about a run: what counts, under whose policy, and what follows."""
