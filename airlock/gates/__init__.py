"""Gates: counted semaphores with a queue, locks, budgets, rate limits and claims, as pure state."""
