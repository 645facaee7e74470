"""The process that sends messages about plans. It decides nothing about a plan, and no plan waits for it."""
