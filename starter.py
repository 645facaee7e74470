"""Airlock's command line; see `python starter.py --help`."""

from cli.app import app
from cli.output import run_and_leave

if __name__ == "__main__":
    run_and_leave(app)
