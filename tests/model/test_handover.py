"""What the user's own code gets of a network whose layers are narrower."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from edgekit.model import handover
from tests.support.reference_models import Named

CODE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
        self.norm = nn.LayerNorm(8)
        self.scale = nn.Parameter(torch.ones(8))
        self.twice = self.head = nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.norm(self.body(x).mean((2, 3))) * self.scale) + self.twice.bias


def build():
    return Net()
"""
USE = """
import sys, torch
sys.path.insert(0, ".")
sys.modules["edgekit"] = None
from load_pruned import load
from model import build
network = load(build())
exported = torch.export.load("network.pt2").module()
x = torch.linspace(-1, 1, 300).reshape(1, 3, 10, 10)
assert network(x).equal(torch.load("expected.pt"))
assert torch.allclose(exported(x)[0], network(x), atol=1e-6)
assert not network.training
assert network.head is network.twice
"""


def build() -> nn.Module:
    scope: dict[str, object] = {}
    exec(CODE, scope)
    network = Named(scope["build"]())  # type: ignore[operator]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.uniform_(-1, 1)
    return network.eval()


def cut(network: nn.Module) -> nn.Module:
    """Five of eight channels."""
    body, norm = network.network.body, network.network.norm
    body[0].out_channels, body[1].num_features, norm.normalized_shape = 5, 5, (5,)
    network.network.head.in_features = 5
    both = [(module, key) for module in (body[0], body[1], norm) for key in ("weight", "bias")]
    for module, key in (*both, (network.network, "scale")):
        setattr(module, key, nn.Parameter(getattr(module, key)[:5].detach().clone()))
    body[1].running_mean, body[1].running_var = body[1].running_mean[:5].clone(), body[1].running_var[:5].clone()
    network.network.head.weight = nn.Parameter(network.network.head.weight[:, :5].detach().clone())
    return network


FEED = torch.linspace(-1, 1, 300).reshape(1, 3, 10, 10)


def test_widths_and_back() -> None:
    before = build()
    after = cut(build())
    found = handover.widths(before, after)
    assert found == {
        "network.body.0": {"out_channels": 5},
        "network.body.1": {"num_features": 5},
        "network.norm": {"normalized_shape": [5]},
        "network.twice": {"in_features": 5},
    }
    before.network.body[0].weight.requires_grad_(False)
    state = {**dict(after.named_parameters()), **dict(after.named_buffers())}
    rebuilt = handover.narrowed(before, found, state)
    assert rebuilt(FEED)[0].equal(after(FEED)[0])
    assert rebuilt.network.head is rebuilt.network.twice
    assert not rebuilt.network.body[0].weight.requires_grad
    assert rebuilt.network.norm.normalized_shape == (5,)


def test_loads_without_edgekit(tmp_path: Path) -> None:
    after = cut(build())
    for name, content in handover.files(build(), after, [FEED]).items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "model.py").write_text(CODE)
    torch.save(after(FEED)[0], tmp_path / "expected.pt")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, "-c", USE], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert len((tmp_path / "load_pruned.py").read_text().splitlines()) <= 32


def test_other_modules_than_the_users() -> None:
    changed = cut(build())
    changed.network.extra = nn.ReLU()
    assert handover.files(build(), changed, [FEED]).keys() == {"network.pt2", "state_dict.pt"}


def test_a_network_that_cannot_be_exported_leaves_its_weights_and_a_line(caplog: pytest.LogCaptureFixture) -> None:
    class Asking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(10, 2)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (self.layer(x) if x.sum() > 0 else x,)

    assert "network.pt2" not in handover.files(Named(Asking()), Named(Asking()), [FEED])
    assert "network.pt2 is not written: torch.export" in caplog.text
