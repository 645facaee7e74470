"""The exported record: its lines, hash chains, totals and offline verification."""
