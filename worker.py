"""The worker from a checkout; the installed command is `airlock-worker`."""

from airlock.worker.__main__ import main

if __name__ == "__main__":
    main()
