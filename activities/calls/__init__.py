"""The calls that change the outside world, their compensations and probes, and what guards each of them."""
