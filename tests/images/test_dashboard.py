"""Every query of the dashboard, asked of a real Prometheus that scraped the page of the node's own Metrics."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.ros2_node.health import Level, Processed, Status
from edgekit.ros2_node.metrics import Metrics
from tests.support.waiting import until

FOLDER = Path(__file__).parents[2] / "docker"
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "grafana" / "edgekit.json").read_text())
EXPRESSIONS = [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]]
STATUSES = (Status("engine", Level.OK, "runs"), Status("input", Level.WARN, "slow"))


def tool(name: str) -> str:
    """Prometheus's own command; where CI lacks it, that is a mistake."""
    found = shutil.which(name)
    if found is None and os.environ.get("CI"):
        pytest.fail(f"{name} is not here: .ci/run installs Debian's prometheus")
    if found is None:
        pytest.skip(f"{name} is not here: apt-get install --no-install-recommends prometheus")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """A Prometheus, and the page that it reads."""

    def __init__(self, address: str, metrics: Metrics) -> None:
        self._address, self._metrics = address, metrics

    def frames(self) -> None:
        """Ten frames of which eight are answered, 40 ms after their stamp."""
        for number in range(10):
            self._metrics.count("front", "received")
            if number < 8:
                self._metrics.processed(answered())
            else:
                self._metrics.count("front", ("dropped", "late")[number % 2])

    def ask(self, path: str, **query: str) -> Any:
        """The data of an answer of the HTTP interface."""
        url = f"{self._address}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            document = json.load(answer)
        assert document["status"] == "success"
        return document["data"]

    def values(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of every series of an expression, now; NaN where a rate is not known yet."""
        found = self.ask("query", query=expression)["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]


def answered() -> Processed:
    image = np.zeros((2, 2, 3), np.uint8)
    times = {"pre_ms": 1.5, "infer_ms": 8.0, "post_ms": 0.5, "age_ms": 40.0}
    return Processed(camera="front", stamp_s=0.0, now_s=0.04, image=image, **times)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    command, folder, port = tool("prometheus"), tmp_path_factory.mktemp("prometheus"), free_port()
    text = (FOLDER / "prometheus.yml").read_text()
    text = text.replace("127.0.0.1:9464", f"127.0.0.1:{port}").replace("scrape_interval: 5s", "scrape_interval: 200ms")
    (folder / "prometheus.yml").write_text(text)
    log = folder / "log"
    metrics = Metrics("127.0.0.1", port, lambda: STATUSES)
    with log.open("wb") as stream:
        arguments = [f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        process = subprocess.Popen([command, *arguments, "--web.listen-address=127.0.0.1:0"], stderr=stream)
    try:
        ready = "Server is ready to receive web requests."
        until(lambda: process.poll() is not None or ready in log.read_text(), "Prometheus")
        found = re.search(r'msg="Listening on" address=(127\.0\.0\.1:\d+)', log.read_text())
        assert found, log.read_text()
        running = Server(f"http://{found[1]}", metrics)
        running.frames()
        until(lambda: running.values("edgekit_frames_total"), "a scraped page")
        yield running
    finally:
        process.terminate()
        process.wait()
        metrics.close()


def asked(expression: str) -> str:
    """As Grafana asks it, with all cameras."""
    return expression.replace("$__rate_interval", "10s").replace("$camera", ".*")


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS)
def test_every_query_has_an_answer(server: Server, title: str, expression: str) -> None:
    found: list[tuple[dict[str, str], float]] = []

    def answers() -> bool:
        server.frames()
        found[:] = server.values(asked(expression))
        return bool(found) and all(math.isfinite(value) for _, value in found)

    until(answers, f"an answer to {title}: {expression}")
    assert all(value >= 0 for _, value in found)


@pytest.mark.parametrize(
    ("title", "low", "high"),
    [
        ("Node", 1, 1),
        ("Worst status", 1, 1),
        ("Share of frames without a result in time", 0.19, 0.21),
        ("Age at p99", 0.033, 0.05),
    ],
)
def test_a_query_says_what_its_title_says(server: Server, title: str, low: float, high: float) -> None:
    ((_, expression),) = [one for one in EXPRESSIONS if one[0] == title]

    def holds() -> bool:
        server.frames()
        return any(low <= value <= high for _, value in server.values(asked(expression)))

    until(holds, f"{title} between {low} and {high}")


def test_the_stages_add_up(server: Server) -> None:
    ((expression, _),) = [
        [target["expr"] for target in panel["targets"]]
        for panel in DASHBOARD["panels"]
        if panel["title"] == "Time of each stage"
    ]
    found: dict[str, float] = {}

    def answers() -> bool:
        server.frames()
        found.update({labels["stage"]: value for labels, value in server.values(asked(expression))})
        return len(found) == 3 and all(map(math.isfinite, found.values()))

    until(answers, "three stages")
    assert found == pytest.approx({"pre": 1.5e-3, "inference": 8e-3, "post": 0.5e-3})


def test_the_variable_lists_the_cameras(server: Server) -> None:
    (variable,) = DASHBOARD["templating"]["list"]
    read = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
    assert read is not None
    assert server.ask(f"label/{read[2]}/values", **{"match[]": read[1]}) == ["front"]


def test_every_number_of_the_node_is_shown(server: Server) -> None:
    """A metric that is added to the node is asked for by the dashboard, or this test says so."""
    names = {name for name in server.ask("label/__name__/values") if name.startswith("edgekit_")}
    kept = {name for name in names if not name.endswith("_created")}
    text = " ".join(expression for _, expression in EXPRESSIONS)
    unused = {name for name in kept if name not in text}
    assert unused == {"edgekit_age_seconds_sum", "edgekit_age_seconds_count"}


def test_the_configuration_is_sound() -> None:
    done = subprocess.run(
        [tool("promtool"), "check", "config", FOLDER / "prometheus.yml"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_panels_have_places_of_their_own_and_one_source() -> None:
    panels = DASHBOARD["panels"]
    taken = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
    assert all(0 <= x < 24 for x, _ in taken)
    assert len({panel["id"] for panel in panels}) == len(panels)
    sources = {target["datasource"]["uid"] for panel in panels for target in panel["targets"]}
    provided = re.search(r"^    uid: (\w+)$", (FOLDER / "grafana" / "datasource.yaml").read_text(), re.M)
    assert provided is not None
    assert sources == {provided[1]}
