"""Temporal as clients and activities share it: connection, converter, codec, histories, claims, traces."""
