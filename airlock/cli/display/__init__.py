"""The display of a terminal: plans, previews, locks, health and progress, as every command shows them."""
