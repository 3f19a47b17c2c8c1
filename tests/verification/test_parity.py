"""Parity arithmetic, and a real engine that departs from its golden outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

import edgekit
from edgekit.bundle import open_bundle
from edgekit.core.errors import BundleError, CheckFailed
from edgekit.core.golden import Golden
from edgekit.core.reports import OutputParity, VerifyReport
from edgekit.verification.parity import LIMITS, compare, max_abs, relative_l2, require


def test_distances() -> None:
    reference = np.array([3.0, 4.0], np.float32)
    assert relative_l2(reference, reference) == 0
    assert relative_l2(np.array([3.0, 4.5], np.float32), reference) == pytest.approx(0.1)
    assert max_abs(np.array([3.0, 3.25], np.float32), reference) == pytest.approx(0.75)
    assert relative_l2(np.zeros(2), np.zeros(2)) == 0
    assert relative_l2(np.ones(2), np.zeros(2)) == float("inf")
    assert relative_l2(np.array([np.nan, 4.0]), reference) == float("inf")
    assert max_abs(np.array([np.inf, 4.0]), reference) == float("inf")


def test_a_built_engine_passes(tiny_bundle: Path) -> None:
    report = edgekit.verify(tiny_bundle)
    assert report.verdict == "pass"
    assert report.frames == 2
    (output,) = report.outputs
    assert output.output == "logits"
    assert 0 <= output.rel_l2 <= output.limit_rel_l2 == LIMITS["int8"]
    assert 0 < output.rel_l2_fp32 < 0.2


def test_a_wrong_engine_fails_by_name(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    golden = bundle.golden()
    shifted = {"logits": golden.output(1, "logits", "int8") + 10}
    golden = golden.with_reference("int8", [golden.outputs(0, "int8"), shifted])
    with bundle.engine() as engine:
        report = compare(engine, golden, "int8", name="int8")
    assert report.verdict == "fail"
    assert report.outputs[0].max_abs == pytest.approx(10, abs=3)
    with pytest.raises(CheckFailed, match=r"engine int8: output 'logits' is .* the limit is 0.5; build again"):
        require(report)


def test_fp32_is_compared_with_pytorch(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    with bundle.engine(bundle.contents.control) as engine:
        report = compare(engine, bundle.golden(), "fp32")
    assert report.verdict == "pass"
    assert report.outputs[0].rel_l2 == report.outputs[0].rel_l2_fp32 < 1e-5


def test_golden_without_frames_or_outputs(tiny_bundle: Path) -> None:
    bundle = open_bundle(tiny_bundle)
    golden = bundle.golden()
    assert golden.frames == 2
    assert golden.feeds(1)["image"].shape == (1, 3, 32, 48)
    with bundle.engine() as engine:
        with pytest.raises(BundleError, match=r"golden.npz holds no frame"):
            compare(engine, Golden(), "int8")
        with pytest.raises(BundleError, match=r"golden.npz lacks the outputs of fp16 on frame 0 .* fp32, int8"):
            compare(engine, golden, "fp16")
        other = golden.with_reference("int8", [{"boxes": golden.output(0, "logits")}] * 2)
        with pytest.raises(BundleError, match=r"golden.npz lacks output 'logits' of int8 on frame 0 .* boxes"):
            compare(engine, other, "int8")


@pytest.mark.parametrize(("kind", "how"), [("dense", "relative L2"), ("labels", "share of the labels that differs")])
def test_what_departs_is_said_with_its_measure(kind: str, how: str) -> None:
    output = OutputParity("y", None, None, None, 0.1, "fail", cast("Any", kind), distance=0.5, limit=0.1)
    with pytest.raises(CheckFailed, match=rf"output 'y' is 0.5 \({how}\) from its typed ONNX; the limit is 0.1"):
        require(VerifyReport("", "int8", 2, (output,), "fail"))
