"""``edgekit replay``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.console import JsonOption, print_json, single
from edgekit.core.errors import InputError

BagArgument = Annotated[Path, typer.Argument(help="A bag: its folder, or one .mcap or .db3 file.")]
RateOption = Annotated[float, typer.Option(help="Times the recorded pace.")]
StepOption = Annotated[bool, typer.Option("--step", help="The next frame when the result of the last has come.")]
FastOption = Annotated[bool, typer.Option("--fast", help="Without any pause.")]
TopicsOption = Annotated[
    list[str] | None,
    typer.Option(help="Topics to replay, with commas; * and ? as in a shell; default: the recorded node's inputs."),
]
RemapOption = Annotated[list[str] | None, typer.Option(help="/old:=/new; once for each topic.")]
ClockOption = Annotated[bool, typer.Option("--clock", help="Publish the bag's time on /clock.")]
NodeOption = Annotated[str, typer.Option(help="The node whose results are waited for.")]
ResultsOption = Annotated[list[str] | None, typer.Option(help="With --step: topics of the results, with commas.")]
OutOption = Annotated[
    Path | None, typer.Option(help="With --step: a bag for the results, at the times of their frames.")
]
SubscribersOption = Annotated[int, typer.Option(help="Begin when the images have so many subscribers.", min=1)]
WaitOption = Annotated[float, typer.Option(help="Seconds to wait for subscribers, and for publishers of results.")]
TimeoutOption = Annotated[float, typer.Option(help="With --step: seconds to wait for a frame's result.")]


def replay(
    bag: BagArgument,
    rate: RateOption = 1.0,
    step: StepOption = False,
    fast: FastOption = False,
    topics: TopicsOption = None,
    remap: RemapOption = None,
    clock: ClockOption = False,
    node: NodeOption = "/edgekit",
    results: ResultsOption = None,
    out: OutOption = None,
    wait: WaitOption = 30.0,
    subscribers: SubscribersOption = 1,
    timeout: TimeoutOption = 30.0,
    as_json: JsonOption = False,
) -> None:
    """Publish a bag's messages as they were recorded, faster, or frame by frame as the results come.

    With --step the same bag through the same node gives the same bytes, every time.
    """
    from edgekit.core.bags import require_rosbags
    from edgekit.ros2_node.bags import require_ros
    from edgekit.ros2_node.bags.playing import Mode, Play, remapped

    if (step and fast) or (rate != 1.0 and (step or fast)):
        raise InputError("--rate, --step and --fast are three ways to replay; choose one")
    if not step and (results or out is not None):
        raise InputError("--results and --out are about the results that --step waits for; add --step")
    whole = node if node.startswith("/") else f"/{node}"
    mode: Mode = "step" if step else "fast" if fast else "pace"
    how = Play(mode, rate, whole, _split(results), clock, subscribers, wait, timeout)
    rules = remapped(remap or ())
    require_rosbags()
    require_ros("edgekit replay")
    from edgekit.ros2_node.ros.player import Request, run

    played = run(Request(bag, _split(topics), rules, how, out), lambda line: print(line, file=sys.stderr, flush=True))
    if as_json:
        print_json(played.to_dict())
        return
    for name, count in sorted(played.published.items()):
        print(f"{name}: {count} published")
    for name, count in sorted(played.results.items()):
        print(f"{name}: {count} results")
    late = f", the latest message {played.late_ms:.1f} ms late" if how.mode == "pace" else ""
    print(f"{played.frames} frames in {played.seconds:.1f} s{late}")


def _split(values: list[str] | None) -> tuple[str, ...]:
    return tuple(name for one in values or () for name in one.split(",") if name)


command = single(replay)
