"""A server of plain JSON-RPC lines that does one thing at a time: `raw_server.py FOLDER KIND`. It starts fast.

Tools and answers may be written by a test: `tools.json` is its list, `answers.json` has the result of each tool, or
its `error` alone.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

FOLDER, KIND = Path(sys.argv[1]), sys.argv[2]
SCHEMA = {"type": "object", "properties": {"tag": {"type": "string"}}}
WRITTEN, ANSWERS = FOLDER / "tools.json", FOLDER / "answers.json"
TOOLS = (
    json.loads(WRITTEN.read_text())
    if WRITTEN.exists()
    else [{"name": name, "description": f"To {name}.", "inputSchema": SCHEMA} for name in ("read", "write")]
)


def answer(request: dict, result: dict) -> None:
    told = result if list(result) == ["error"] else {"result": result}
    print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **told}), flush=True)


def noise() -> None:
    sys.stdout.buffer.write(b"Listening ...\n{no json\n[]\n\xff\xfe bytes\n{}\n")
    sys.stdout.flush()


def tools_from(cursor: int) -> dict:
    """Return one page of the list, of two tools each if the server is one of many pages."""
    if KIND != "paged":
        return {"tools": TOOLS}
    more = {"nextCursor": str(cursor + 2)} if cursor + 2 < len(TOOLS) else {}
    return {"tools": TOOLS[cursor : cursor + 2], **more}


def wait_for(name: str) -> None:
    deadline = time.monotonic() + 60
    while not (FOLDER / name).exists() and time.monotonic() < deadline:
        time.sleep(0.02)


(FOLDER / "pid").write_text(str(os.getpid()))
if KIND == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if KIND == "mute":
    wait_for("never")
if KIND == "noisy":
    noise()
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    if asked["method"] == "initialize":
        version = asked["params"]["protocolVersion"]
        about = {"name": "raw", "version": "1"}
        answer(asked, {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about})
    elif asked["method"] == "tools/list":
        answer(asked, tools_from(int((asked.get("params") or {}).get("cursor") or 0)))
    elif asked["method"] == "tools/call" and ANSWERS.exists():
        name = asked["params"]["name"]
        if KIND == "noisy":
            noise()
            sys.stderr.write(f"{'x' * 5_000}\n" * 200)
            progress = {"progressToken": "none", "progress": 1}
            print(json.dumps({"jsonrpc": "2.0", "method": "notifications/progress", "params": progress}))
        if name == "add":
            TOOLS.append({**TOOLS[0], "name": "added"})
            print(json.dumps({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}))
        answer(
            asked,
            json.loads(ANSWERS.read_text()).get(name)
            or {"content": [{"type": "text", "text": json.dumps(asked["params"]["arguments"])}]},
        )
    elif asked["method"] == "tools/call":
        tag = asked["params"]["arguments"].get("tag", "")
        (FOLDER / f"{tag}.begun").touch()
        if tag == "busy":
            wait_for("go")
        part = {"type": "text", "text": tag}
        answer(
            asked, {"content": [part], "structuredContent": {"size": float("nan")}} if tag == "nan" else {"content": [part]}
        )
    else:
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32601, "message": "no"}}), flush=True)
if KIND == "stubborn":
    wait_for("never")
