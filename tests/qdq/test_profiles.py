from __future__ import annotations

import pytest

from edgekit.core.errors import SpecError
from edgekit.qdq.profiles import PROFILES, profile


class TestProfiles:
    @pytest.mark.parametrize("name", PROFILES)
    def test_found_by_name(self, name: str) -> None:
        assert profile(name).name == name

    def test_unknown(self) -> None:
        with pytest.raises(SpecError, match="profiles: no Q/DQ profile 'ort-x68'; did you mean 'ort-x86'"):
            profile("ort-x68")

    @pytest.mark.parametrize(
        ("name", "limits", "symmetric", "quantized_bias"),
        [
            ("ort-x86", (0, 255), False, True),
            ("ort-arm", (-128, 127), False, True),
            ("tensorrt", (-128, 127), True, False),
            ("openvino", (0, 255), False, False),
        ],
    )
    def test_integers(self, name: str, limits: tuple[int, int], symmetric: bool, quantized_bias: bool) -> None:
        found = profile(name)
        assert found.limits == limits
        assert (found.symmetric, found.quantized_bias) == (symmetric, quantized_bias)

    @pytest.mark.parametrize("name", PROFILES)
    def test_rules_fit_together(self, name: str) -> None:
        """A saturation can only go where the operator before it is rounded, and glue only where outputs are."""
        found = profile(name)
        assert found.rounds_outputs or not (found.folds_saturation or found.glue or found.float_outputs)
        assert not found.compute & found.glue
        assert found.float_outputs <= found.compute
