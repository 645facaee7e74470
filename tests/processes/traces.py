"""Traces leave a real worker process, by OpenTelemetry's own settings, and the last of them when it stops."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.processes.harness import READY
from tests.processes.metrics import lines
from tests.processes.registry import Stage, scenario


class Collector(ThreadingHTTPServer):
    """Takes what exporters send to `/v1/traces`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.requests: list[ExportTraceServiceRequest] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

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
    try:
        scene = stage.scene()
        worker = scene.launch(
            AIRLOCK_TRACING="1", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_BSP_SCHEDULE_DELAY="3600000",
            NO_PROXY="127.0.0.1",
        )  # fmt: skip
        await worker.says(READY)
        handle = await scene.submit(lines(scene, "traced", "one"))
        await scene.approve(handle)
        assert (await scene.result(handle)).outcome == "completed"
        assert collector.requests == []
        worker.terminate()
        assert await worker.code() == 0, worker.said()
    finally:
        collector.shutdown()
        collector.server_close()
    resources = [resource for request in collector.requests for resource in request.resource_spans]
    services = {each.value.string_value for r in resources for each in r.resource.attributes if each.key == "service.name"}
    assert services == {"airlock"}
    names = [span.name for resource in resources for scope in resource.scope_spans for span in scope.spans]
    assert names.count("LIVE append_line") == 1, names
