"""Twenty planted faults are found and named, forty healthy builds left alone: see benchmarks/parity_faults.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks import parity_faults as bench
from benchmarks import parity_mutations as mutations

from edgekit.engine import ort
from edgekit.qdq.profiles import PROFILES
from edgekit.verification.limits import limits_of
from edgekit.verification.parity import check

FAULTS = [(n, "int8", kind) for n in ("yolox", "mobilenet") for kind in mutations.KINDS]
FAULTS += [("fusion", "fp32", k) for k in ("bias", "weight", "activation")] + [("yolox", "fp32", "swap")]
FAULTS += [("fusion", "int8", "scale"), ("fusion", "int8", "zero point"), ("signal", "fp32", "weight")]
FAULTS += [("mlp", "int8", kind) for kind in ("scale", "zero point", "weight")]


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], bench.Healthy]:
    pairs = sorted({(name, precision) for name, precision, _ in FAULTS})
    return {pair: bench.healthy(*pair, tmp_path_factory.mktemp("healthy")) for pair in pairs}


def test_faults_are_found_and_named(engines: dict[tuple[str, str], bench.Healthy], tmp_path: Path) -> None:
    missed, unnamed, planted = [], [], 0
    for name, precision, kind in FAULTS:
        it = engines[name, precision]
        found = bench.plant(it, kind, 1, tmp_path)
        if found is None:
            continue
        planted += 1
        said = bench.judge(it, found[0], tmp_path)
        missed += [] if said["found"] else [(name, precision, kind)]
        unnamed += [] if said["named"] else [(name, precision, kind, said["said"])]
    assert planted >= 20
    assert missed == []
    assert len(unnamed) <= 2, unnamed


def test_healthy_builds_are_left_alone(tmp_path: Path) -> None:
    """Networks by profiles by calibrators and calibration subsets."""
    refused, worst = [], 0.0
    subsets = [(profile, calibrator, at) for at, profile in enumerate(PROFILES) for calibrator in bench.CALIBRATORS]
    for name, (profile, calibrator, at) in [(n, s) for n in ("mlp", "signal", "fusion") for s in subsets][:40]:
        it = bench.healthy(name, "int8", tmp_path, profile, calibrator=calibrator, first=1000 + 7 * at)
        report = check(ort.Backend(bench.CPU), it.proven(), limits_of("int8"))
        assert report.layers is not None
        worst = max(worst, report.layers.worst[0].steps)
        refused += [] if report.verdict == "pass" else [(name, profile, calibrator)]
    assert refused == []
    assert worst <= 0.51
