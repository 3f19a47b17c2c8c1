"""Is the FP32 control as fast as a plain ONNX Runtime session of the same file?

    python benchmarks/plain_session.py --json                      # the networks of benchmarks/peers that are here
    python benchmarks/plain_session.py camvid hard --openings 40   # some of them

Plain: ONNX Runtime's defaults with the same threads, without spinning, denormals flushed.  Beside it the control, as
``edgekit profile`` runs it, and the control with ONNX Runtime's memory pattern (docs/decisions/0012).  Each is opened
anew ``--openings`` times, all three in turn, and timed in turn there; the interval takes openings as the sample
(``edgekit.stats.openings.typical_ratio``).  The figure is processor time of the calling thread at one thread, so that
other work on the machine moves it little, wall time otherwise.  Memory: peak of a process of its own, after imports.

Finished networks are kept in ``benchmarks/.plain_session`` under the file's digest, the machine and the versions: a run
that was stopped goes on where it was; ``--fresh`` measures again, for a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

REPO = Path(__file__).resolve().parents[1]
WORK = REPO / "benchmarks" / ".plain_session"
LIMIT = 0.02
QUERIES, SETTLING = 8, 2
PLAIN, CONTROL, PATTERN = "plain", "control", "control, memory pattern"
Ask = Callable[[], Any]


@contextmanager
def plain(file: Path, feeds: Mapping[str, Any], threads: int) -> Iterator[Ask]:
    """What a user writes who follows ONNX Runtime's documentation."""
    import onnxruntime

    from edgekit.runtime.denormals import flushed

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def ask() -> Any:
        with flushed():
            return session.run(None, dict(feeds))

    yield ask


@contextmanager
def control(engine: Path, feeds: Mapping[str, Any], threads: int, pattern: bool = False) -> Iterator[Ask]:
    """The engine as edgekit opens it; ``pattern``: with what docs/decisions/0012 takes away."""
    from edgekit.engine import ort
    from edgekit.engine.ort import runner

    real = runner.options_of

    def with_pattern(config: ort.Config) -> Any:
        options = real(config)
        options.enable_mem_pattern = True
        return options

    opened = ort.Backend(ort.Config(engine="ort", threads=threads)).engine(engine)
    if pattern:
        runner.options_of = with_pattern  # type: ignore[assignment]
    try:
        opened.__enter__()
    finally:
        runner.options_of = real
    with opened:
        yield lambda: opened.infer(feeds)


def variants(folder: Path, threads: int) -> dict[str, Callable[[], AbstractContextManager[Ask]]]:
    """What is compared, by name; each opens anew when it is called."""
    with np.load(folder / "feeds.npz") as stored:
        feeds = dict(stored)
    file, engine = folder / "fp32.onnx", folder / "fp32.ort.onnx"
    return {
        PLAIN: lambda: plain(file, feeds, threads),
        CONTROL: lambda: control(engine, feeds, threads),
        PATTERN: lambda: control(engine, feeds, threads, pattern=True),
    }


def timed(folder: Path, threads: int, openings: int, queries: int) -> dict[str, list[float]]:
    """Milliseconds of every query by variant, ``openings`` equal parts of ``queries``."""
    clock = time.thread_time if threads == 1 else time.perf_counter
    found: dict[str, list[float]] = {name: [] for name in variants(folder, threads)}
    opens = list(variants(folder, threads).items())
    for opening in range(openings):
        with ExitStack() as stack:
            order = opens[opening % len(opens) :] + opens[: opening % len(opens)]  # memory differs by who came first
            asks = [(name, stack.enter_context(make())) for name, make in order]
            for query in range(SETTLING + queries):
                for name, ask in asks:
                    start = clock()
                    ask()
                    if query >= SETTLING:
                        found[name].append((clock() - start) * 1e3)
                asks.reverse()
        print(f"  {folder.name}: opening {opening + 1} of {openings}", file=sys.stderr, flush=True)
    return found


def peak_mib(folder: Path, name: str, threads: int) -> float:
    """Growth of the peak of a fresh process that opens one variant and asks it five times."""
    code = (
        "import sys, json, numpy, onnxruntime\n"
        "from pathlib import Path\n"
        "from benchmarks.plain_session import variants\n"
        "from edgekit.engine import ort\n"
        "from edgekit.profiling._child import status_mib\n"
        "folder, name, threads = json.loads(sys.argv[1])\n"
        "make = variants(Path(folder), threads)[name]\n"
        "before = status_mib('VmRSS')\n"
        "with make() as ask:\n"
        "    for _ in range(5): ask()\n"
        "print(status_mib('VmHWM') - before)\n"
    )
    command = [sys.executable, "-c", code, json.dumps([str(folder), name, threads])]
    return float(subprocess.run(command, cwd=REPO, capture_output=True, text=True, check=True).stdout)


def prepared(name: str) -> Path:
    """A folder with the network's FP32 file, its control engine and one input."""
    from benchmarks.peers.models import MODELS

    from edgekit.engine import ort
    from edgekit.model.export import export
    from edgekit.model.load import load_model

    model = MODELS[name]
    folder = WORK / f"{name}-{model.digest()}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "fp32.onnx").exists():
        export(load_model(model.config()), folder / "fp32.onnx")
    # Built by this ONNX Runtime for this processor, so every time.
    ort.Backend(ort.Config(engine="ort")).build(folder / "fp32.onnx", folder / "fp32.ort.onnx")
    shape = (1, 3, *model.transform["resize"])
    noise = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    np.savez(folder / "feeds.npz", allow_pickle=False, **{model.input: noise})
    return folder


def measured(name: str, threads: int, openings: int, queries: int, fresh: bool) -> dict[str, Any]:
    """Milliseconds, ratios to plain with intervals, and memory of one network."""
    import onnxruntime

    from edgekit.core.artifacts import sha256_file, sha256_of
    from edgekit.profiling import machine
    from edgekit.stats.openings import typical_ratio

    folder = prepared(name)
    facts = {"file": sha256_file(folder / "fp32.onnx"), "onnxruntime": onnxruntime.__version__, "cpu": machine().cpu}
    setting = {"threads": threads, "openings": openings, "queries": queries}
    kept = folder / f"{sha256_of([facts, setting])[:12]}.json"
    if kept.exists() and not fresh:
        return dict(json.loads(kept.read_text()))
    times = timed(folder, threads, openings, queries)
    result: dict[str, Any] = {"network": name} | facts | setting
    for variant, own in times.items():
        ratio, ends = typical_ratio(own, times[PLAIN], 0.95, openings) if variant != PLAIN else (1.0, None)
        result[variant] = {
            "p50_ms": float(np.median(own)),
            "over_plain": ratio,
            "interval": None if ends is None else [ends.low, ends.high],
            "peak_mib": peak_mib(folder, variant, threads),
        }
    kept.write_text(json.dumps(result, indent=2))
    return result


def main() -> None:
    from benchmarks.peers.models import MODELS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", choices=[[], *MODELS], help="default: those whose weights are here")
    parser.add_argument("--openings", type=int, default=24)
    parser.add_argument("--queries", type=int, default=QUERIES, help="timed, in each opening")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows, missing = [], []
    for name in given.networks or MODELS:
        try:
            rows.append(measured(name, given.threads, given.openings, given.queries, given.fresh))
        except SystemExit as absent:  # its weights are not here
            missing.append(f"{name}: {absent}")
    within = [row["network"] for row in rows if max(abs(end - 1) for end in row[CONTROL]["interval"]) <= LIMIT]
    document = {"limit": LIMIT, "within": within, "not measured": missing, "networks": rows}
    if given.json:
        print(json.dumps(document, indent=2))
        return
    for row in rows:
        for variant in (PLAIN, CONTROL, PATTERN):
            own = row[variant]
            ends = "" if own["interval"] is None else f" [{own['interval'][0]:.3f}, {own['interval'][1]:.3f}]"
            figures = f"{own['p50_ms']:8.2f} ms {own['over_plain']:.3f}{ends} {own['peak_mib']:7.1f} MiB"
            print(f"{row['network']:13} {variant:24} {figures}")
    print(*missing, sep="\n")


if __name__ == "__main__":
    sys.path.insert(0, str(REPO))
    main()
