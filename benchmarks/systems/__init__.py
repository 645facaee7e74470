"""The measured systems, a process each; those of other projects run in the environment of `make peers`."""
