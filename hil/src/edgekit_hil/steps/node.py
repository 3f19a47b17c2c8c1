"""The ROS 2 node on the board against a replayed bag: every frame answered, no status in error."""

from __future__ import annotations

import json
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from edgekit.core.bags import Bag
from edgekit.core.errors import CheckFailed, EnvironmentFault, InputError
from edgekit_hil.report import NodeReport
from edgekit_hil.steps.context import Context

NODE = "/edgekit"
IMAGE = "~/input/image"
LIMIT_S = 1800.0
START_S = 120.0
SETTLE_S = 2.5
"""After the last frame: two periods of /diagnostics, so that what is judged was said after it."""
LEVELS = ("OK", "WARN", "ERROR", "STALE")


def step(context: Context) -> str:
    """Start the node, replay the bag frame by frame, record its diagnostics, stop it.

    Raises:
        CheckFailed: a frame had no result, the node failed, or a status was ERROR at the end.
        InputError: the board's driver names no Python with ROS 2.
    """
    agent = context.agent
    if not agent.ros_python:
        raise InputError(f"{agent.link.name}: --bag needs ros_python in the AgentDriver of the environment file")
    run = f"{agent.link.home}/documents/{context.lease.run}"
    listened = f"{run}/diagnostics"
    agent.link.shell(["mkdir", "-p", run])
    _start_node(context)
    try:
        _ros(context, "recorder", ["-m", "edgekit", "record", listened, "--topics", "/diagnostics", "--json"])
        if not agent.heard(context.lease, "recorder", "recording /diagnostics", START_S):
            raise EnvironmentFault(f"{agent.link.name}: no /diagnostics within {START_S:g} s{_said(context, 'node')}")
        played = _replay(context, f"{run}/results")
        time.sleep(SETTLE_S)
        agent.stop(context.lease, "recorder", signal.SIGINT)
        agent.wait(context.lease, "recorder", context.progress)
    finally:
        agent.stop(context.lease, "node", signal.SIGINT)
    code, said = agent.wait(context.lease, "node", context.progress)
    context.keep("node.log", said.encode())
    levels = _levels(context, listened)
    failures = _failures(played, levels, code)
    results = sum(played.get("results", {}).values())
    context.found.node = NodeReport(played.get("frames", 0), results, levels, failures)
    if failures:
        raise CheckFailed(f"the node: {'; '.join(failures)}")
    return f"{results} results of {played.get('frames', 0)} frames, {len(levels)} statuses"


def _start_node(context: Context) -> None:
    topic = _image_topic(context)
    raw = topic[1] == "sensor_msgs/msg/Image"
    image = topic[0] if raw else topic[0].removesuffix("/compressed")
    # Ages are those of the bag's own time, which the replay publishes on /clock.
    parameters = {"bundle": context.found.places["bundle"], "autostart": "true", "use_sim_time": "true"}
    parameters["image_transport"] = "raw" if raw else "compressed"
    words = ["-m", "edgekit.ros2_node", "--ros-args"]
    words += ["-r", f"{IMAGE}:={image}", "-r", f"{IMAGE}/compressed:={topic[0]}"]
    for name, value in parameters.items():
        words += ["-p", f"{name}:={value}"]
    _ros(context, "node", words)


def _image_topic(context: Context) -> tuple[str, str]:
    """Name and type of the bag's images."""
    assert context.options.bag is not None
    with Bag(context.options.bag) as bag:
        found = [(name, topic.type) for name, topic in bag.topics.items() if topic.type in _IMAGES]
    if len(found) != 1:
        raise InputError(f"--bag {context.options.bag}: it has {len(found)} topics of images; expected one")
    return found[0]


_IMAGES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")


def _ros(context: Context, name: str, words: list[str]) -> None:
    agent = context.agent
    agent.start(context.lease, name, [agent.ros_python, *words], LIMIT_S, agent.ros_environment)


def _replay(context: Context, out: str) -> dict[str, Any]:
    """The document of the replay; a frame without a result ends it, and is a failure, not an error of the run."""
    words = [
        "-m",
        "edgekit",
        "replay",
        context.found.places["bag"],
        "--step",
        "--clock",
        "--wait",
        f"{START_S:g}",
        "--out",
        out,
    ]
    _ros(context, "replay", [*words, "--json"])
    code, said = context.agent.wait(context.lease, "replay", context.progress)
    if code == 0:
        document: dict[str, Any] = json.loads(context.agent.output(context.lease, "replay"))
        context.keep("replay.json", document)
        return document | {"frames": sum(document["published"].values())}
    last = said.strip().splitlines()[-1].removeprefix("error: ") if said.strip() else f"exit status {code}"
    return {"failure": last}


def _levels(context: Context, folder: str) -> dict[str, str]:
    """The last level of each status, by its name."""
    link, levels = context.agent.link, {}
    names = link.shell(["ls", "-1", folder]).decode().split()
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            (Path(scratch) / name).write_bytes(link.read(f"{folder}/{name}"))
        with Bag(Path(scratch)) as bag:
            for message in bag.messages(["/diagnostics"]):
                for status in bag.decode(message).status:
                    levels[status.name] = LEVELS[status.level[0] if isinstance(status.level, bytes) else status.level]
    return levels


def _failures(played: dict[str, Any], levels: dict[str, str], code: int) -> tuple[str, ...]:
    found = [played["failure"]] if "failure" in played else []
    found += [f"{name} is {level}" for name, level in sorted(levels.items()) if level in ("ERROR", "STALE")]
    if not levels:
        found.append("it published no diagnostics")
    if code != 0:
        found.append(f"it ended with exit status {code}")
    return tuple(found)


def _said(context: Context, name: str) -> str:
    lines = context.agent.output(context.lease, name, "stderr").strip().splitlines()
    return f"; the {name} said: {lines[-1]}" if lines else ""
