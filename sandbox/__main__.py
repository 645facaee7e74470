"""`python -m sandbox crm|smtp|corpus`: one service in this process, see `--help`."""

import argparse
from pathlib import Path

from sandbox.corpus_api import create_corpus
from sandbox.crm import create_crm
from sandbox.serve import serve_http, serve_smtp


def main(arguments: list[str] | None = None) -> None:
    """Run the service the command line names until it is stopped."""
    options = _parser().parse_args(arguments)
    watch = bool(options.watch_stdin)
    if options.service == "crm":
        serve_http("crm", create_crm(options.state, options.token), options.port, watch_stdin=watch)
    elif options.service == "corpus":
        serve_http("corpus", create_corpus(), options.port, watch_stdin=watch)
    else:
        serve_smtp(options.mailbox, options.port, options.slow_seconds, watch_stdin=watch)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    services = parser.add_subparsers(dest="service", required=True)
    crm = services.add_parser("crm", help="contacts in the GoHighLevel v2 shapes, billing, a page")
    crm.add_argument("--state", type=Path, help="SQLite file that keeps the data; in memory without it")
    crm.add_argument("--token", help="the only bearer token that opens the contacts; any without it")
    smtp = services.add_parser("smtp", help="a mail server that delivers into a folder")
    smtp.add_argument("--mailbox", type=Path, required=True, help="folder that gets mailbox.jsonl")
    smtp.add_argument("--slow-seconds", type=float, default=5.0, help="how long mail to slow.test waits for its answer")
    corpus = services.add_parser("corpus", help="the eight APIs of the corpus, one world per plan")
    for service in (crm, smtp, corpus):
        service.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0, the default, is a free one")
        service.add_argument(
            "--watch-stdin", action="store_true", help="also stop when stdin is closed, as when a parent dies"
        )
    return parser


if __name__ == "__main__":
    main()
