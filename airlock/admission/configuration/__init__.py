"""The operator's file, `airlock.toml`, section by section."""
