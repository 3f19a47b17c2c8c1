"""The C++ pipeline and Python's on the golden frames of bundles, with the same engines: how far are they apart?

    make cpp-golden BUNDLES="BUNDLE ..."
    python benchmarks/cpp_golden.py BUNDLE ... [--program build/cpp/release/test/pipeline/test_pipeline]

Writes what Python's chain makes of each golden frame beside what the bundle recorded (of the typed model, from which an
engine that the runtime optimised differs by rounding), and runs the C++ test of golden parity on both.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROGRAM = ROOT / "build" / "cpp" / "release" / "test" / "pipeline" / "test_pipeline"


def write_predictions(bundle: Path, target: Path) -> None:
    """What Python's chain with the candidate's engine makes of a bundle's golden frames, as predictions.json has it."""
    from edgekit.bundle import open_bundle
    from edgekit.bundle.frames import read_frame
    from edgekit.core.decoded import recorded

    with open_bundle(bundle) as opened, opened.engine() as engine:
        document = opened.predictions()
        if document is None:
            raise SystemExit(f"{bundle}: a bundle of version 1 has no golden frames; build it again")
        chain = opened.chain(engine)
        made = [
            frame.model_copy(update={"prediction": recorded(chain(read_frame(opened.path, frame.sources or {})))})
            for frame in document.frames
        ]
        whole = document.model_copy(update={"frames": tuple(made), "reference": opened.contents.candidate.precision})
        target.write_text(whole.model_dump_json(), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundles", type=Path, nargs="+")
    parser.add_argument("--program", type=Path, default=PROGRAM)
    args = parser.parse_args()
    bundles = [bundle.resolve() for bundle in args.bundles]
    with tempfile.TemporaryDirectory() as folder:
        for bundle in bundles:
            write_predictions(bundle, Path(folder) / f"{bundle.name}.json")
        environment = {**os.environ, "EDGEKIT_BUNDLES": ":".join(map(str, bundles)), "EDGEKIT_PREDICTIONS": folder}
        done = subprocess.run([args.program, "--gtest_filter=*GoldenParity*"], env=environment, check=False)
    raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
