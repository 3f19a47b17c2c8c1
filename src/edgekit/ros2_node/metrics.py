"""The node's numbers for Prometheus, on a page that is off unless a port is named."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIServer

from edgekit.core.errors import MissingRequirement, SpecError, os_reason
from edgekit.ros2_node.health import Processed, Status

if TYPE_CHECKING:
    from prometheus_client import Metric

STAGES_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.033, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Upper ends of the histograms' buckets in seconds; 0.033 is a period at 30 Hz."""


class Metrics:
    """Counts frames and times on ``http://<address>:<port>/metrics`` until :meth:`close`.

    Levels are those of ``/diagnostics`` when the page is read: 0 OK, 1 WARN, 2 ERROR, 3 STALE.

    Args:
        address: of this machine; only the loopback reaches 127.0.0.1.
        port: 1..65535.
        statuses: asked when the page is read.

    Raises:
        MissingRequirement: prometheus_client is not here.
        SpecError: the port is taken, or the address is not this machine's.
    """

    def __init__(self, address: str, port: int, statuses: Callable[[], Sequence[Status]]) -> None:
        try:
            import prometheus_client as prometheus
        except ImportError as error:
            raise MissingRequirement("prometheus_client", "pip install 'edgekit[metrics]'") from error
        self._statuses = statuses
        registry = prometheus.CollectorRegistry()
        self._frames = prometheus.Counter(
            "edgekit_frames", "frames by what became of them", ("camera", "outcome"), registry=registry
        )
        self._stages = prometheus.Histogram(
            "edgekit_stage_seconds", "time of each stage", ("stage",), buckets=STAGES_S, registry=registry
        )
        self._age = prometheus.Histogram(
            "edgekit_age_seconds",
            "from a frame's stamp to its result",
            ("camera",),
            buckets=STAGES_S,
            registry=registry,
        )
        registry.register(_Levels(statuses))
        self._server: WSGIServer
        self._thread: threading.Thread
        try:
            self._server, self._thread = prometheus.start_http_server(port, address, registry)
        except OSError as error:
            raise SpecError(f"parameter metrics_port: {address}:{port}: {os_reason(error)}; name a free one") from error

    def count(self, camera: str, outcome: str) -> None:
        """A frame was ``received``, ``answered``, ``dropped``, ``refused`` or ``late``."""
        self._frames.labels(camera, outcome).inc()

    def processed(self, result: Processed) -> None:
        """A frame was answered."""
        self.count(result.camera, "answered")
        for stage, ms in (("pre", result.pre_ms), ("inference", result.infer_ms), ("post", result.post_ms)):
            self._stages.labels(stage).observe(ms / 1e3)
        self._age.labels(result.camera).observe(max(0.0, result.age_ms / 1e3))

    def close(self) -> None:
        """Take the page away."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Levels:
    """A collector: the levels as they are when the page is read."""

    def __init__(self, statuses: Callable[[], Sequence[Status]]) -> None:
        self._statuses = statuses

    def describe(self) -> Iterable[Metric]:
        """Nothing is asked for before there is something to say."""
        return []

    def collect(self) -> Iterable[Metric]:
        """A gauge for each status."""
        from prometheus_client.core import GaugeMetricFamily

        levels = GaugeMetricFamily("edgekit_status_level", "0 OK, 1 WARN, 2 ERROR, 3 STALE", labels=("status",))
        for status in self._statuses():
            levels.add_metric((status.name,), float(status.level))
        return [levels]
