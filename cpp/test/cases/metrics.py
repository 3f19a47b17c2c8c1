"""The lines that the ROS 2 node's Prometheus page has for one camera: names, labels and types."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path

from edgekit.ros2_node.health import Level, Processed, Status
from edgekit.ros2_node.metrics import Metrics


def write(folder: Path) -> None:
    import numpy as np

    metrics = Metrics("127.0.0.1", 0, lambda: [Status("inference", Level.OK, "")])
    try:
        for outcome in ("received", "dropped", "refused", "late"):
            metrics.count("front", outcome)
        image = np.zeros((1, 1, 3), np.uint8)
        metrics.processed(Processed("front", 0.0, 0.0, image, {}, None, 1.0, 1.0, 1.0, 1.0, 1.0))
        port = metrics._server.server_port
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            page = answer.read().decode()
    finally:
        metrics.close()
    lines = [line for line in page.splitlines() if "_created" not in line]
    samples = [sorted_labels(line.rpartition(" ")[0]) for line in lines if not line.startswith("#")]
    types = [line for line in lines if line.startswith("# TYPE")]
    (folder / "lines.json").write_text(json.dumps({"samples": samples, "types": types}, indent=1))


def sorted_labels(sample: str) -> str:
    """As the C++ writes them: le last, the others in the page's order."""
    name, _, labels = sample.partition("{")
    pairs = re.findall(r'\w+="[^"]*"', labels)
    pairs.sort(key=lambda pair: pair.startswith("le="))
    return f"{name}{{{','.join(pairs)}}}" if pairs else name
