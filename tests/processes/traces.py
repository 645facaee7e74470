"""Traces leave a real worker process, by OpenTelemetry's own settings, and the last of them when it stops."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from tests.processes.harness import READY, ROOT, Process
from tests.processes.metrics import lines
from tests.processes.registry import Stage, scenario


class Collector(ThreadingHTTPServer):
    """Takes what exporters send to `/v1/traces`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.requests: list[ExportTraceServiceRequest] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def traces(self) -> dict[str, list[bytes]]:
        """By the name of each span, the ids of the traces it is in."""
        found: dict[str, list[bytes]] = {}
        for resource in self._resources():
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                found.setdefault(span.name, []).append(span.trace_id)
        return found

    def services(self) -> set[str]:
        attributes = [each for resource in self._resources() for each in resource.resource.attributes]
        return {each.value.string_value for each in attributes if each.key == "service.name"}

    def _resources(self) -> list[ResourceSpans]:
        return [resource for request in self.requests for resource in request.resource_spans]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Take(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:  # the name is the library's
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/traces":
            self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@scenario
async def traces_are_sent_before_a_worker_ends(stage: Stage) -> None:
    """Nothing is sent while it works, as the exporter would wait for an hour; everything is when it is told to stop."""
    collector = Collector()
    traced = {
        "AIRLOCK_TRACING": "1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_BSP_SCHEDULE_DELAY": "3600000",
        "NO_PROXY": "127.0.0.1",
    }
    try:
        scene = stage.scene()
        worker = scene.launch(**traced)
        await worker.says(READY)
        plan = scene.folder / "plan.json"
        plan.write_text(json.dumps(lines(scene, "traced", "one")))
        starter = [sys.executable, str(ROOT / "starter.py"), "start", str(plan), "--config", str(scene.config)]
        started = Process(starter, scene.folder / "starter.log", scene.environment(**traced), cwd=scene.folder)
        assert await started.code() == 0, started.said()
        handle = (await scene.airlock()).plan("traced")
        await scene.approve(handle)
        assert (await scene.result(handle)).outcome == "completed"
        assert "LIVE append_line" not in collector.traces()
        worker.terminate()
        assert await worker.code() == 0, worker.said()
    finally:
        collector.shutdown()
        collector.server_close()
    assert collector.services() == {"airlock"}
    (call,) = collector.traces()["LIVE append_line"]
    (submitted,) = collector.traces()["StartWorkflow:PlanWorkflow"]
    assert call == submitted  # by the starter, in another process
