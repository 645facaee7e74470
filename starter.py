"""Airlock's command line; see `python starter.py --help`."""

from cli.app import app

if __name__ == "__main__":
    app()
