"""``edgekit record``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.console import Bars, JsonOption, VerboseOption, print_json, single
from edgekit.core.errors import InputError

if TYPE_CHECKING:
    from edgekit.ros2_node.bags.recording import Plan, Summary

OutArgument = Annotated[Path, typer.Argument(help="The bag, a folder that does not exist yet; with --ring, of bags.")]
NodeOption = Annotated[
    str | None, typer.Option(help="Record all topics of this node, and /diagnostics; default: /edgekit, or none.")
]
TopicsOption = Annotated[list[str] | None, typer.Option(help="Topics to record, with commas; * and ? as in a shell.")]
RingOption = Annotated[
    float | None, typer.Option(help="Keep the last so many seconds in memory, and write them on a trigger.")
]
OnOption = Annotated[str, typer.Option(help="With --ring: what triggers, of error, drift, deadline, service.")]
AfterOption = Annotated[float | None, typer.Option(help="With --ring: seconds after the trigger; default: 2.")]
MemoryOption = Annotated[int | None, typer.Option(help="With --ring: MiB of messages in memory; default: 512.")]
MaxOption = Annotated[int | None, typer.Option(help="MiB on the disk, of all files together.", min=1)]
FullOption = Annotated[str, typer.Option(help="At --max-mib: stop, or remove the oldest.")]
SplitOption = Annotated[int, typer.Option(help="MiB after which a new file is begun.", min=1)]
SplitSecondsOption = Annotated[float | None, typer.Option(help="Seconds after which a new file is begun.")]
DurationOption = Annotated[float | None, typer.Option(help="End after so many seconds; default: at Ctrl-C.")]
BacklogOption = Annotated[int, typer.Option(help="MiB that may wait for the disk; more is dropped.", min=1)]
NiceOption = Annotated[int, typer.Option(help="How far it stands back behind the node: 0 to 19.", min=0, max=19)]
FromOption = Annotated[
    Path | None, typer.Option("--from", help="Write a folder of images, a video or an unfinished bag to a new bag.")
]
RateOption = Annotated[float, typer.Option(help="With --from: frames a second.")]
FrameOption = Annotated[str, typer.Option(help="With --from: frame_id of the header.")]
TopicOption = Annotated[str, typer.Option(help="With --from: the topic of the images.")]
RawOption = Annotated[bool, typer.Option("--raw", help="With --from: Image (rgb8) in place of CompressedImage.")]
StartOption = Annotated[float, typer.Option(help="With --from: seconds since 1970 of the first stamp.")]
LimitOption = Annotated[int | None, typer.Option(help="With --from: so many frames, evenly spaced.", min=1)]


def record(
    out: OutArgument,
    node: NodeOption = None,
    topics: TopicsOption = None,
    ring: RingOption = None,
    on: OnOption = "error,drift,deadline,service",
    after: AfterOption = None,
    memory_mib: MemoryOption = None,
    max_mib: MaxOption = None,
    when_full: FullOption = "stop",
    split_mib: SplitOption = 256,
    split_seconds: SplitSecondsOption = None,
    duration: DurationOption = None,
    backlog_mib: BacklogOption = 256,
    nice: NiceOption = 5,
    source: FromOption = None,
    rate: RateOption = 30.0,
    frame_id: FrameOption = "camera",
    topic: TopicOption = "/camera/image",
    raw: RawOption = False,
    start: StartOption = 1.0,
    limit: LimitOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Record a node's inputs, outputs and diagnostics to an MCAP bag, or the seconds around a trigger.

    The serialized messages are kept as they come.  Ctrl-C ends it; a bag that was killed is read all the same.
    """
    from edgekit.ros2_node.bags.recording import Plan, RingPlan
    from edgekit.ros2_node.bags.writer import MIB, Limits

    if when_full not in ("stop", "oldest"):
        raise InputError(f"--when-full: {when_full!r} is unknown; allowed values: stop, oldest")
    split_ns = None if split_seconds is None else round(split_seconds * 1e9)
    limits = Limits(None if max_mib is None else max_mib * MIB, split_mib * MIB, split_ns, when_full)  # type: ignore[arg-type]
    if source is not None:
        from edgekit.ros2_node.bags.convert import Conversion

        how = Conversion(topic, rate, frame_id, raw, round(start * 1e9), limit)
        _show_made(out, _made(source, out, how, limits, Bars(verbose)), as_json)
        return
    if ring is None and (after is not None or memory_mib is not None):
        raise InputError("--after and --memory-mib are of a ring buffer; say how long it is with --ring")
    held = None
    if ring is not None:
        memory = RingPlan.max_bytes if memory_mib is None else memory_mib * MIB
        held = RingPlan(ring, min(RingPlan.after_s, ring) if after is None else after, memory)
    patterns = tuple(name for one in topics or () for name in one.split(",") if name)
    plan = Plan(limits, held, backlog_mib * MIB)
    _show(_recorded(out, node, patterns, plan, on, duration, nice), as_json)


def _recorded(
    out: Path, node: str | None, topics: tuple[str, ...], plan: Plan, on: str, duration: float | None, nice: int
) -> Summary:
    from edgekit.core.bags import require_rosbags
    from edgekit.ros2_node.bags import require_ros
    from edgekit.ros2_node.bags.triggers import checked

    kinds = checked(on.split(",")) if plan.ring is not None else frozenset[str]()
    require_rosbags()
    require_ros("edgekit record")
    from edgekit.ros2_node.ros.recorder import Request, run

    chosen = node if node is not None else "" if topics else "/edgekit"
    whole = chosen if chosen.startswith("/") or not chosen else f"/{chosen}"
    return run(Request(out, whole, topics, plan, kinds, duration, nice), _tell)


def _made(source: Path, out: Path, how: Any, limits: Any, bars: Bars) -> int:
    from edgekit.ros2_node.bags.convert import convert, copy, is_bag

    return copy(source, out, limits, bars) if is_bag(source) else convert(source, out, how, limits, bars)


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def _show_made(out: Path, count: int, as_json: bool) -> None:
    if as_json:
        print_json({"bag": str(out), "messages": count})
    else:
        print(f"wrote {count} messages to {out}")


def _show(summary: Summary, as_json: bool) -> None:
    if as_json:
        print_json(summary.to_dict())
        return
    for topic, count in sorted(summary.received.items()):
        lost = [f"{part[topic]} {word}" for word, part in summary.losses.items() if part[topic]]
        print(f"{topic}: {count} received, {summary.written[topic]} written{''.join(f', {one}' for one in lost)}")
    print(f"{len(summary.bags)} bags, {summary.size / 2**20:.1f} MiB")


command = single(record)
