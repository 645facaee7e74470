"""Foundations that every other room uses: errors, names, text, canonical JSON, keys, statistics."""
