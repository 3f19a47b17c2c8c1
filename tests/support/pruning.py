"""Reference networks as jobs of techniques that edit a PyTorch network."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from edgekit.technique import Job
from tests.support.reference_models import NETWORKS, Frames, Named, exported, seeded


def job_of(name: str, folder: Path) -> Job:
    """The job of :data:`NETWORKS` with this name, its FP32 file in ``folder``; no training frames."""
    reference = NETWORKS[name]

    def export(network: nn.Module, shapes: object = None) -> bytes:
        assert isinstance(network, Named)
        return exported(network.network, reference.shapes, reference.outputs.split())

    def network() -> nn.Module:
        return Named(seeded(reference.make, reference.shapes)).eval()

    source = folder / "fp32.onnx"
    source.write_bytes(export(network()))
    names = {"inputs": tuple(reference.shapes), "outputs": tuple(reference.outputs.split())}
    return Job(source, Frames(reference.shapes), network=network, export=export, **names)
