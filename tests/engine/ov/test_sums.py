"""No eight-bit sum that saturates in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.engine.ov.rounded import rounded
from tests.support.graphs import relative_l2

from edgekit.core.errors import EnvironmentFault
from edgekit.engine import ort, ov
from edgekit.runtime import processor

BACKEND = ov.Backend(ov.Config(engine="ov"))


def test_weights_of_eight_bits_need_vnni(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "int8_products", lambda: "u8u8")
    wide = rounded(tmp_path / "wide.onnx", 65)
    message = r"wide\.onnx: this processor has no VNNI.*'w[12]' has larger ones.*openvino-avx2.*engine: ort"
    with pytest.raises(EnvironmentFault, match=message) as caught:
        BACKEND.build(wide, tmp_path / "e.ov")
    assert caught.value.exit_code == 3
    BACKEND.build(rounded(tmp_path / "narrow.onnx", 64), tmp_path / "e.ov")
    monkeypatch.setattr(processor, "int8_products", lambda: None)
    BACKEND.build(wide, tmp_path / "e.ov")


def test_the_largest_activations_times_the_largest_weights(tmp_path: Path) -> None:
    """Exact on this processor, whatever it has."""
    source = rounded(tmp_path / "m.onnx", 64)
    BACKEND.build(source, tmp_path / "e.ov")
    x = {"x": np.full((1, 8, 16, 16), 100, np.float32)}
    with BACKEND.engine(tmp_path / "e.ov") as engine, ort.reference(source) as reference:
        assert relative_l2(engine.infer(x)["y"], reference.infer(x)["y"]) < 1e-3
