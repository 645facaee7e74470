"""`inbox`: what waits for a person, on a terminal: to read, and to decide."""

import sys
from importlib.util import find_spec

from airlock.cli.decisions import ByOption, me
from airlock.cli.output import OK, AsJson, Refusal, command, emit
from airlock.cli.signing import Signing, SignKeyOption, SshAgentOption, signer
from airlock.client import Airlock
from airlock.client.inbox_reader import InboxReader
from airlock.program import program


@command
async def inbox(
    by: ByOption = None, sign_key: SignKeyOption = None, ssh_agent: SshAgentOption = False, as_json: AsJson = False
) -> int:
    """Read and decide what waits for a person, on a terminal.

    The list has the earliest expiry first; Enter opens a plan with its preview. The keys stand on the last line. With --json
    it prints the list once.
    """
    if as_json:
        emit(await InboxReader((await Airlock.connect()).client).read())
        return OK
    who = me(by)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Refusal(f"the inbox needs a terminal; for a program: {program()} inbox --json")
    if find_spec("textual") is None:
        raise Refusal("the extra for the inbox is not installed: pip install 'airlock-temporal[inbox]'")
    from airlock.inbox.app import InboxApp
    from airlock.inbox.person import Person

    signing = Signing(sign_key, ssh_agent)
    # before the inbox draws on the terminal on which a passphrase is asked for
    sign = signer(signing) if signing.wanted else None
    await InboxApp(await Airlock.connect(), Person(who, sign)).run_async(mouse=False)
    return OK
