"""A chain of compress steps is killed with kill -9 at random points, and the same command ends it: is it the same?

python benchmarks/kill_resume.py [--points 20] [--each 5] [--seed 0] [--out results.json]

The tiny project of the tests, pruned, distilled and quantized.  A point is a share of the CPU seconds that an
undisturbed run takes, so a busy machine changes little.  A chain is killed up to EACH times in a row, each time at a
point of its own after the same command began anew; then it is run to its end.  Models, weights and curves have to be
those of the undisturbed run bit for bit, and no finished stage may be made again.  Prints JSON; exit code 1 when a
chain differs.  Linux only: the CPU seconds come from /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from tests.support.projects import SPEC, write_project  # noqa: E402

COMMAND = (sys.executable, "-m", "edgekit", "compress", "edgekit.yaml")
FRAMES = "{format: image_mask, images: data/images, masks: data/masks}"
TRAIN = (
    "{steps: 40, batch: 2, learning_rate: 0.002, checkpoint_every: 3, validate_every: 20, device: cpu, "
    "augment: {flip: 0.5}}"
)
STEPS = f"""\
  - prune: {{method: channels, ratio: 0.5, round_to: 2, training: {TRAIN}}}
  - distill: {{method: logits, training: {TRAIN}}}
  - quantize: {{method: ptq}}
"""
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Kill:
    """One kill: ``share`` of the CPU seconds of an undisturbed run, and the stages that were finished by then."""

    share: float
    finished: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """One chain: its kills, stages that were finished and made again, and what is not as it should be."""

    kills: tuple[Kill, ...]
    repeated: tuple[str, ...]
    differs: tuple[str, ...]

    @property
    def holds(self) -> bool:
        return not self.repeated and not self.differs


def write_chain(folder: Path) -> None:
    """The tiny project with three steps."""
    spec = SPEC.replace("  - quantize: {method: ptq}\n", STEPS)
    data = f"  training: {FRAMES}\n  validation: {FRAMES}\n  evaluation:"
    write_project(folder, spec.replace("  evaluation:", data))


def undisturbed(folder: Path) -> tuple[dict[str, Any], float]:
    """Run the chain; gives its result and the CPU seconds that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _finish(folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return result(folder), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def killed(folder: Path, shares: Iterable[float], cpu_s: float, expected: dict[str, Any]) -> Outcome:
    """Kill the chain in ``folder`` at each share of ``cpu_s`` in turn, until it ends; end it, and compare.

    A run that ends before its point counts as none.
    """
    kills: list[Kill] = []
    seen: dict[str, tuple[int, int]] = {}
    repeated: list[str] = []
    for share in shares:
        ended = _killed(folder, share * cpu_s)
        repeated += _made_again(seen, seen := stages(folder))
        if ended:
            break
        kills.append(Kill(round(share, 4), tuple(seen)))
    _finish(folder)
    repeated += _made_again(seen, stages(folder))
    found = result(folder)
    differs = tuple(name for name in sorted({*expected, *found}) if found.get(name) != expected.get(name))
    return Outcome(tuple(kills), tuple(repeated), differs)


def _made_again(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> list[str]:
    return [name for name, made in before.items() if after.get(name) != made]


def stages(folder: Path) -> dict[str, tuple[int, int]]:
    """Finished stages: which file says so, and when it was written."""
    records = sorted((folder / ".edgekit").glob("*/stage.json"))
    return {file.parent.name: (file.stat().st_ino, file.stat().st_mtime_ns) for file in records}


def result(folder: Path) -> dict[str, Any]:
    """What has to be the same: models and curves by digest, weights tensor by tensor."""
    import torch

    from edgekit.core.artifacts import sha256_file

    made = folder / "artifacts" / "tiny-compressed"
    files = [*made.glob("*.onnx"), made / "training.json", made / "golden.npz"]
    state = torch.load(made / "state_dict.pt", weights_only=True)
    weights = {f"state_dict.pt: {name}": tensor.numpy().tobytes().hex() for name, tensor in state.items()}
    changes = {
        f"{path.parent.name}/{path.name}": sha256_file(path) for path in (folder / ".edgekit").glob("*/change.bin")
    }
    return {path.name: sha256_file(path) for path in files} | weights | changes


def _killed(folder: Path, cpu_s: float) -> bool:
    """Start the chain and kill it after so many CPU seconds of all its processes; whether it had ended before."""
    process = subprocess.Popen(
        COMMAND,
        cwd=folder,
        env=_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while process.poll() is None and sum(_cpu_of_group(process.pid)) < cpu_s:
            time.sleep(0.005)
        return process.poll() is not None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _cpu_of_group(group: int) -> Iterator[float]:
    """CPU seconds of each process of a group, and of its children that have ended."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        if int(fields[2]) == group:
            yield TICK_S * sum(int(field) for field in fields[11:15])


def _finish(folder: Path) -> None:
    done = subprocess.run(COMMAND, cwd=folder, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"edgekit compress ended with {done.returncode}: {done.stderr[-2000:]}")


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--points", type=int, default=20)
    parser.add_argument("--each", type=int, default=5, help="most kills of one chain")
    parser.add_argument("--least", type=float, default=0.0, help="smallest share; 0.85 looks at the last steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="the JSON file to write, besides printing it")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="kill-resume-") as scratch:
        source, whole = Path(scratch) / "source", Path(scratch) / "whole"
        write_chain(source)
        shutil.copytree(source, whole)
        expected, cpu_s = undisturbed(whole)
        while (left := options.points - sum(len(one.kills) for one in outcomes)) > 0:
            folder = Path(scratch) / "broken"
            shutil.copytree(source, folder)
            outcomes.append(
                killed(folder, [rng.uniform(options.least, 1) for _ in range(min(left, options.each))], cpu_s, expected)
            )
            shutil.rmtree(folder)
            print(f"{left} to go: {outcomes[-1]}", file=sys.stderr, flush=True)
    holds = all(one.holds for one in outcomes)
    document = {
        "seed": options.seed,
        "least": options.least,
        "undisturbed_cpu_s": round(cpu_s, 1),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "compared": len(expected),
        "kills": sum(len(one.kills) for one in outcomes),
        "holds": holds,
        "chains": [asdict(one) for one in outcomes],
    }
    text = json.dumps(document, indent=2)
    print(text)
    if options.out is not None:
        options.out.write_text(text + "\n")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
