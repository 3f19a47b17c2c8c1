"""Channels that are all but dead, in any mixture of tiny, huge and ordinary weights and biases: repairs do no harm.

Exactly dead channels are easy to think of; those beside them are what weight decay leaves.
"""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edgekit.core.tensors import Arrays
from edgekit.qdq.equalize import equalize, peaks_seen
from edgekit.qdq.graph import Graph, run, runtime, session, simplified
from edgekit.quantize import ptq
from edgekit.quantize.qat import fold
from edgekit.technique import Job
from tests.support.graphs import node, normal, write

LIMITS = json.loads((Path(__file__).parents[1] / "golden" / "repair.json").read_text())
SHAPE = (1, 4, 8, 8)
WIDTHS = (0.0, 1e-45, 1e-38, 1e-30, 1e-20, 1e-10, 1e-6, 1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0, 1e3, 1e10)
BETWEEN = {
    "Relu": [node("Relu", "c", "r")],
    "Clip": [node("Clip", "c zero six", "r")],
    "LeakyRelu": [node("LeakyRelu", "c", "r", alpha=0.1)],
    "nothing": [node("Identity", "c", "r")],
}


@dataclass(frozen=True)
class Frames:
    """Four seeded frames."""

    def __len__(self) -> int:
        return 4

    def __iter__(self) -> Iterator[Arrays]:
        return ({"x": normal(seed, *SHAPE)} for seed in range(4))


@dataclass(frozen=True)
class Widths:
    """Of one channel between two layers: the first one's weights and bias, and the second one's weights."""

    first: float = 1.0
    bias: float = 1.0
    second: float = 1.0


channels = st.builds(Widths, st.sampled_from(WIDTHS), st.sampled_from(WIDTHS[:-1]), st.sampled_from(WIDTHS[:-1]))
mixtures = st.lists(st.one_of(st.just(Widths()), channels), min_size=3, max_size=3)


def network(widths: list[Widths], between: str) -> Path:
    """Two convolutions; of the four channels between them the last one is ordinary."""
    first, bias, second = np.array([(w.first, w.bias, w.second) for w in (*widths, Widths())]).T
    weights: Mapping[str, Any] = {
        "w1": (normal(1, 4, 4, 3, 3) * first[:, None, None, None]).astype(np.float32),
        "b1": (normal(2, 4) * bias).astype(np.float32),
        "w2": (normal(3, 4, 4, 1, 1) * second[None, :, None, None]).astype(np.float32),
        "b2": normal(4, 4),
    }
    bounds = {"zero": np.float32([0]), "six": np.float32([6])} if between == "Clip" else {}  # as other tools write them
    nodes = [node("Conv", "x w1 b1", "c", pads=[1, 1, 1, 1]), *BETWEEN[between], node("Conv", "r w2 b2", "y")]
    path = Path(tempfile.mkdtemp()) / "m.onnx"
    return write(path, nodes, [("x", SHAPE, "float32")], [("y", SHAPE, "float32")], {**weights, **bounds})


def outputs(model: Any) -> Any:
    """Over all frames, as the file is written, float64."""
    options = runtime().SessionOptions()
    options.graph_optimization_level = runtime().GraphOptimizationLevel.ORT_DISABLE_ALL
    opened = session(model, options)
    return np.stack([run(opened, ["y"], feeds)[0] for feeds in Frames()]).astype(np.float64)


def error(model: Any, wanted: Any) -> float:
    return float(np.linalg.norm(outputs(model) - wanted) / np.linalg.norm(wanted))


def quantized(source: Path, **keys: Any) -> Any:
    config = ptq.Config(**keys)
    job = Job(source, Frames(), "tensorrt")
    return onnx.load_from_string(ptq.apply(job, config).model)


CONSTANT = [Widths(1e-45, 1e3, 1e-3), Widths(), Widths()]
SMALL = [Widths(1e-4, 1e3, 1.0), Widths(), Widths()]


@given(mixtures, st.sampled_from(list(BETWEEN)))
@example(CONSTANT, "LeakyRelu")
@example(SMALL, "LeakyRelu")
@example(SMALL, "Clip")
@settings(max_examples=25, deadline=None, derandomize=True)
def test_equalization_keeps_the_function_and_does_no_harm(widths: list[Widths], between: str) -> None:
    source = network(widths, between)
    graph = Graph(simplified(source))
    wanted = outputs(graph.model)
    done = equalize(graph, peaks_seen(graph, Frames()))
    assert error(done.graph.model, wanted) <= LIMITS["same_function"]
    plain = error(quantized(source), wanted)
    assert error(quantized(source, equalize=True), wanted) <= LIMITS["no_harm"] * plain + LIMITS["rounding"]


@pytest.mark.parametrize("keys", [{"bias_correction": True}, {"rounding": "adaround", "adaround_iterations": 20}])
@pytest.mark.filterwarnings("error::RuntimeWarning")
@given(mixtures, st.sampled_from(list(BETWEEN)))
@example([Widths(1e-30), Widths(1e-20, 0.0), Widths()], "Relu")
@settings(max_examples=12, deadline=None, derandomize=True)
def test_other_repairs_do_no_harm(keys: dict[str, Any], widths: list[Widths], between: str) -> None:
    source = network(widths, between)
    wanted = outputs(Graph(simplified(source)).model)
    plain = error(quantized(source), wanted)
    assert error(quantized(source, **keys), wanted) <= LIMITS["no_harm"] * plain + LIMITS["rounding"]


VARIANCES = (0.0, 1e-45, 1e-38, 1e-20, 1e-10, 1e-5, 1.0, 1e5, 1e20)
GAINS = (0.0, 1e-45, 1e-20, 1e-5, 1.0, 1e5)


@given(
    st.lists(st.tuples(st.sampled_from(VARIANCES), st.sampled_from(GAINS)), min_size=4, max_size=4),
    st.sampled_from([1e-12, 1e-5, 1e-3, 2.0]),
)
@settings(max_examples=25, deadline=None, derandomize=True)
def test_batch_norms_of_hardly_any_variance_fold_and_unfold(norms: list[tuple[float, float]], eps: float) -> None:
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.norm = nn.BatchNorm2d(4, eps=eps)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
            return (self.norm(self.conv(x)),)

    torch.manual_seed(0)
    net, x = Net().eval(), torch.randn(1, 3, 8, 8)
    with torch.no_grad():
        variance, gain = torch.tensor(norms).T
        net.norm.running_var.copy_(variance)
        net.norm.weight.copy_(gain)
        (wanted,) = net(x)
        folded = fold.fold(copy.deepcopy(net), [x])
        (found,) = folded.network(x)
        (back,) = folded.unfold(folded.network.state_dict(), copy.deepcopy(net)).eval()(x)
    for made in (found, back):
        torch.testing.assert_close(made, wanted, rtol=1e-4, atol=float(wanted.abs().amax()) * 1e-6 + 1e-30)
