"""Signed decisions: the statement that a person signs, its nonce, and the evidence that a key or a passkey makes of it."""
