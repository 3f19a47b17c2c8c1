from __future__ import annotations

import pytest

from edgekit.core.reports import EngineProof, OutputParity


def proof(engine: str, *distances: float | None) -> EngineProof:
    outputs = tuple(
        OutputParity(f"out{place}", 0.0, 0.0, distance, 0.05, "pass") for place, distance in enumerate(distances)
    )
    return EngineProof(engine, "pass", frames=2, outputs=outputs)


class TestFidelity:
    def test_names_the_output_that_is_farthest_from_fp32(self) -> None:
        told = proof("int8", 0.01, 0.0526, None).fidelity()
        assert told == "int8 against FP32: output 'out1' differs by 5.3 % (relative L2, 2 golden frames)"

    @pytest.mark.parametrize("nothing", [proof("int8"), proof("int8", None), proof("fp32", 0.9)])
    def test_says_nothing_where_nothing_was_compared(self, nothing: EngineProof) -> None:
        assert nothing.fidelity() == nothing.advice() == ""

    def test_warns_of_what_parity_cannot_see(self) -> None:
        assert proof("int8", 0.2).advice() == ""
        told = proof("int8", 0.01, 0.67).advice()
        assert "INT8 may have lost accuracy: int8 against FP32: output 'out1' differs by 67 %" in told
        assert "edgekit sensitivity SPEC" in told
        assert "exclude" in told
