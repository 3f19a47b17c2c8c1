"""Input drift on rendered drives: how often it is called where there is none, and how soon it is found.

python benchmarks/input_drift.py --out drift.json [--drives 8640] [--workers 2] [--camvid data/camvid]

A drive is 30 frames of one rendered scene, 3 a second for 10 s: the same place, weather, light and camera.  A scene
holds 5 s of driving, so the car goes at half its speed.  Each drive has a monitor of its own, as a node that was just
activated.  The reference is made of frames of other seeds.  Every drive is a line of ``<out>.drives.jsonl``: a run that
is stopped goes on where it was, as long as the code that judges is the same; ``<out>`` is written anew every 50 drives.
"""

from __future__ import annotations

import argparse
import collections
import hashlib
import inspect
import json
import multiprocessing
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from edgekit.core.artifacts import write_json
from edgekit.core.tensors import Array
from edgekit.data import rendered
from edgekit.data.camvid import Config as CamVid
from edgekit.data.rendered import draw
from edgekit.evaluation import input_statistics
from edgekit.evaluation.input_statistics import JUDGED, InputStatistics, measure, statistics_of
from edgekit.ros2_node import health
from edgekit.ros2_node.health import Level, Limits, Monitor, Processed
from edgekit.ros2_node.parameters import declarations

REFERENCE_SEED, NOMINAL_SEED, FAULT_SEED = 3, 20_001, 20_002
FRAMES, RATE_HZ, STEPS = 30, 3.0, 50
SEQUENCES = ("0001TP", "0006R0", "0016E5", "Seq05VD")
Frames: TypeAlias = Callable[[int], Array]
"""The frames of a drive by their number."""
_worker: dict[str, InputStatistics] = {}
_seeds = {"reference": REFERENCE_SEED, "no drift": NOMINAL_SEED, "faults": FAULT_SEED}


def reference_of(frames: int) -> InputStatistics:
    """The reference: frames of scenes of a seed of its own."""
    return statistics_of([measure(draw(REFERENCE_SEED, k).image) for k in range(frames)], "rendered")


def step(number: int) -> int:
    """The step of a scene, at 10 Hz, that is frame ``number`` of a drive."""
    return number * (STEPS - 1) // (FRAMES - 1)


def scene(seed: int, number: int, scenes: rendered.Scenes = "classic") -> Frames:
    """A drive."""
    return lambda n: draw(seed, number, step(n), scenes).image


def foggy(number: int, visibility_m: float) -> Frames:
    """A drive in fog of this meteorological visibility: Koschmieder's law over the true depth."""

    def frame(n: int) -> Array:
        made = draw(FAULT_SEED, number, step(n), "classic", "depth")
        clear = np.exp(-3.0 / visibility_m * np.minimum(made.truths["depth"], 1000.0))[..., None]
        return np.asarray(made.image * clear + 200.0 * (1 - clear)).astype(np.uint8)

    return frame


def blurred(number: int, sigma_px: float) -> Frames:
    """A drive out of focus."""
    import cv2

    sharp = scene(FAULT_SEED, number)
    return lambda n: np.asarray(cv2.GaussianBlur(sharp(n), (0, 0), sigma_px))


def exchanged(number: int) -> Frames:
    """A drive with red and blue exchanged."""
    right = scene(FAULT_SEED, number)
    return lambda n: np.ascontiguousarray(right(n)[..., ::-1])


def varied(number: int, light: str) -> Frames:
    """A varied drive in this light; by day one without rain and fog.  Every number looks at scenes of its own."""
    candidate = 200 * number
    while not _fits(candidate, light):
        candidate += 1
    return scene(FAULT_SEED, candidate, "varied")


def _fits(candidate: int, light: str) -> bool:
    data = rendered.RenderedScenes(STEPS * (candidate + 1), FAULT_SEED, "varied", "mask", STEPS)
    words = data[STEPS * candidate].metadata
    return words["light"] == light and (light == "night" or (words["weather"] != "rain" and words["fog"] == "none"))


DRAWN: dict[str, Callable[[int], Frames]] = {
    "no drift": lambda n: scene(_seeds["no drift"], n),
    "no drift: varied scenes by day": lambda n: varied(n, "day"),
    "night": lambda n: varied(n, "night"),
    "fog, visibility 50 m": lambda n: foggy(n, 50),
    "fog, visibility 100 m": lambda n: foggy(n, 100),
    "blur of 2 pixels": lambda n: blurred(n, 2),
    "blur of 3 pixels": lambda n: blurred(n, 3),
    "red and blue exchanged": exchanged,
}


def watched(frames: Iterator[Array], reference: InputStatistics, rate_hz: float = RATE_HZ) -> tuple[float | None, str]:
    """When drift was told first, in seconds from the first frame, and in which words; None: never."""
    monitor = Monitor(Limits(drift_period_s=0.9 / rate_hz), ["camera"], reference)
    monitor.active(True, 0.0)
    for k, image in enumerate(frames):
        now_s = 1.0 + k / rate_hz
        monitor.processed(Processed("camera", now_s, now_s, np.ascontiguousarray(image)))
        status = next(each for each in monitor.statuses(now_s) if each.name == "camera: input drift")
        if status.level != Level.OK:
            return now_s - 1.0, status.message
    return None, ""


def cannot_be_called(rows: dict[int, Array], reference: InputStatistics) -> bool:
    """Whether no window of a drive can be called a drift, whatever the frames show that are not in ``rows``."""
    limits = Limits()
    longest = round(limits.drift_window_s * RATE_HZ) + 1
    for k, name in enumerate(JUDGED):
        low, high = reference.edges(name, limits.drift_margin)
        for side in (-1, 1):
            may = [n not in rows or (rows[n][k] < low if side < 0 else rows[n][k] > high) for n in range(FRAMES)]
            for length in range(longest - 3, longest + 1):  # the first window may be judged before it is full
                if any(sum(may[n : n + length]) >= limits.drift_share * length for n in range(FRAMES - length + 1)):
                    return False
    return True


def one(job: tuple[str, int]) -> dict[str, Any]:
    """One drive, in a worker.

    Where there is no drift, every second frame of nearly every drive proves that it cannot be called one; then the
    others are not drawn.
    """
    case, number = job
    reference, frames = _worker["reference"], DRAWN[case](number)
    drawn = {n: frames(n) for n in (range(0, FRAMES, 2) if case.startswith("no drift") else ())}
    rows = {n: reference.row(measure(image)) for n, image in drawn.items()}
    line = {"case": case, "drive": number, "found_s": None, "message": "", "drawn": len(rows)}
    if rows and cannot_be_called(rows, reference):
        return line
    found_s, message = watched((drawn[n] if n in drawn else frames(n) for n in range(FRAMES)), reference)
    return line | {"found_s": found_s, "message": message, "drawn": FRAMES}


def _start(reference: InputStatistics, seeds: dict[str, int]) -> None:
    import cv2

    _seeds.update(seeds)
    _worker["reference"] = reference
    cv2.setNumThreads(1)


def upper_bound(events: int, of: int) -> float:
    """The upper end of the one-sided 95 % interval of Clopper and Pearson."""
    from scipy.stats import beta

    return 1.0 if events == of else float(beta.ppf(0.95, events + 1, of - events))


def summary(lines: Sequence[dict[str, Any]], facts: dict[str, Any]) -> dict[str, Any]:
    """Of the drives so far, by case."""
    cases: dict[str, Any] = {}
    for case in DRAWN:
        drives = [line for line in lines if line["case"] == case]
        times = sorted(line["found_s"] for line in drives if line["found_s"] is not None)
        cases[case] = {
            "drives": len(drives),
            "called": len(times),
            "frames_drawn": sum(line["drawn"] for line in drives),
            "share": len(times) / len(drives) if drives else None,
            "share_upper_95": upper_bound(len(times), len(drives)) if drives else None,
            "drives_a_day_upper_95": 8640 * upper_bound(len(times), len(drives)) if drives else None,
            "found_s_median": times[len(times) // 2] if times else None,
            "found_s_latest": times[-1] if times else None,
            "messages": [line["message"] for line in drives if line["message"]][:10],
        }
    return {"benchmark": "input_drift", **facts, "cases": cases}


def camvid(root: Path) -> dict[str, Any]:
    """Windows of each sequence of CamVid that drift was told in, by what the reference was made of.

    Frames are a second apart.  ``train`` is the split that a build calibrates on: it lacks Seq05VD.
    """
    frames: dict[str, dict[str, Array]] = collections.defaultdict(dict)
    train: list[Array] = []
    for split in ("train", "val", "test"):
        for sample in CamVid(root=root, split=split).open():
            image = sample.images["image"]
            frames[Path(sample.id).name.split("_")[0]][Path(sample.id).name] = image
            train += [image] if split == "train" else []
    ordered = {name: [frames[name][key] for key in sorted(frames[name])] for name in SEQUENCES}
    found: dict[str, Any] = {}
    for made_of, images in {"train": train, **ordered}.items():
        reference = statistics_of([measure(image) for image in images], "camvid")
        for name in SEQUENCES:
            if name != made_of:
                when, message = watched(iter(ordered[name]), reference, 1.0)
                found[f"reference {made_of}, on {name}"] = {
                    "frames": len(ordered[name]),
                    "found_s": when,
                    "as": message,
                }
    return found


def jobs(drives: int, faults: int) -> Iterator[tuple[str, int]]:
    """A drive of another case after every fifth without drift, so that all are known early."""
    others = [(case, number) for number in range(faults) for case in DRAWN if case != "no drift"]
    for number in range(drives):
        yield "no drift", number
        if number % 5 == 4 and others:
            yield others.pop(0)
    yield from others


def main() -> None:
    """Run what is missing, and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("drift.json"))
    parser.add_argument("--drives", type=int, default=8640, help="without drift")
    parser.add_argument("--faults", type=int, default=40, help="drives of each other case")
    parser.add_argument("--reference", type=int, default=256, help="frames of the reference")
    parser.add_argument("--seed", type=int, default=NOMINAL_SEED, help="of the drives without drift")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--camvid", type=Path)
    args = parser.parse_args()
    judging = Path(str(health.__file__)).with_name("_drift.py").read_text(encoding="utf-8")
    limits = [str(one) for one in declarations(Limits) if one.name.startswith("drift")]
    code = "".join((inspect.getsource(input_statistics), judging, *limits))
    _seeds["no drift"] = args.seed
    facts: dict[str, Any] = {
        "code": hashlib.sha256(code.encode()).hexdigest()[:16],
        "seeds": dict(_seeds),
        "reference_frames": args.reference,
        "machine": platform.processor() or platform.machine(),
    }
    key = [facts["code"], args.reference, args.seed]
    store = args.out.with_name(args.out.name + ".drives.jsonl")
    lines = [json.loads(text) for text in store.read_text().splitlines()] if store.exists() else []
    if any(line["key"] != key for line in lines):
        sys.exit(f"{store}: made by other code or with another reference; move it away, or name another --out")
    if args.camvid:
        facts["camvid"] = camvid(args.camvid)
    done = {(line["case"], line["drive"]) for line in lines}
    todo = [job for job in jobs(args.drives, args.faults) if job not in done]
    reference = reference_of(args.reference)
    context = multiprocessing.get_context("spawn")
    with store.open("a") as file, context.Pool(args.workers, _start, (reference, _seeds)) as pool:
        for line in pool.imap_unordered(one, todo):
            lines.append({**line, "key": key})
            file.write(json.dumps(lines[-1]) + "\n")
            file.flush()
            if len(lines) % 50 == 0:
                write_json(args.out, summary(lines, facts))
    write_json(args.out, summary(lines, facts))
    print(json.dumps(summary(lines, facts), indent=1))


if __name__ == "__main__":
    main()
