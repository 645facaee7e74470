"""The command line from a checkout; the installed command is `airlock`."""

from airlock.__main__ import main

if __name__ == "__main__":
    main()
