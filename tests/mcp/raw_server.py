"""A server of plain JSON-RPC lines that does one thing at a time: `raw_server.py FOLDER KIND`. It starts fast."""

import json
import os
import signal
import sys
import time
from pathlib import Path

FOLDER, KIND = Path(sys.argv[1]), sys.argv[2]
SCHEMA = {"type": "object", "properties": {"tag": {"type": "string"}}}
TOOLS = [{"name": name, "description": f"To {name}.", "inputSchema": SCHEMA} for name in ("read", "write")]


def answer(request: dict, result: dict) -> None:
    print(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}), flush=True)


def wait_for(name: str) -> None:
    deadline = time.monotonic() + 60
    while not (FOLDER / name).exists() and time.monotonic() < deadline:
        time.sleep(0.02)


(FOLDER / "pid").write_text(str(os.getpid()))
if KIND == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if KIND == "mute":
    wait_for("never")
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    if asked["method"] == "initialize":
        version = asked["params"]["protocolVersion"]
        about = {"name": "raw", "version": "1"}
        answer(asked, {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": about})
    elif asked["method"] == "tools/list":
        answer(asked, {"tools": TOOLS})
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
