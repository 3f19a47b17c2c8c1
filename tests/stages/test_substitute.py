"""Exchanged operators as a step of a chain: trained further, quantized, and left for the user's own code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import edgekit
from edgekit.core.errors import SpecError
from tests.support import shell

FORCED = "- prune: {method: substitute, force: true, activation: relu, upsample: half}"
DISTILL = "- distill: {method: logits, training: {steps: 4, batch: 2, device: cpu}}"
PTQ = "- quantize: {method: ptq}"
TRAINING = "  training: {format: image_mask, images: data/images, masks: data/masks}\n"
OWN_CODE = """
import sys
import numpy as np, torch
sys.modules["edgekit"] = None
golden = np.load(sys.argv[1] + "/golden.npz")
found = torch.export.load(sys.argv[1] + "/network.pt2").module()(torch.from_numpy(golden["input.0.image"]))[0]
wanted = torch.from_numpy(golden["output.0.logits"])
assert torch.allclose(found, wanted, atol=1e-4 * float(wanted.abs().max())), (found - wanted).abs().max()
"""


def project(folder: Path, *steps: str) -> Path:
    """The tiny project with a SiLU that is called, and scores that are enlarged four times."""
    model = folder / "model.py"
    calls = "return nn.functional.interpolate(self.head(x + nn.functional.silu(self.body(x)))[..., ::4, ::4], "
    text = model.read_text().replace(
        "return self.head(x + torch.relu(self.body(x)))", calls + 'scale_factor=4.0, mode="bilinear")'
    )
    assert "silu" in text
    model.write_text(text)
    spec = folder / "edgekit.yaml"
    text = spec.read_text().replace("  - quantize: {method: ptq}\n", "".join(f"  {step}\n" for step in steps))
    spec.write_text(text.replace("compress:\n", f"{TRAINING}compress:\n"))
    return folder


def test_exchange_distil_quantize(tiny_project: Path) -> None:
    made = edgekit.compress(project(tiny_project, FORCED, DISTILL, PTQ))
    assert set(made.variants) == {"fp32", "fp32-prune-distill", "int8-prune-distill"}
    (stage,) = (tiny_project / ".edgekit").glob("prune-*")
    record = json.loads((stage / "change.json").read_text())["record"]
    assert [(site["kind"], site["module"], site["form"]) for site in record["sites"]] == [
        ("silu", "network", "relu"),
        ("upsample", "network", "half"),
    ]
    used = subprocess.run([sys.executable, "-c", OWN_CODE, str(made.path)], capture_output=True, text=True, check=False)
    assert used.returncode == 0, used.stderr
    golden = np.load(made.path / "golden.npz")["output.0.logits"]
    assert np.array_equal(golden[..., ::2, ::2], golden[..., 1::2, 1::2])  # each pixel twice
    assert not (made.path / "load_pruned.py").exists()  # the user's modules do not make this network


def test_refused(tiny_project: Path) -> None:
    result = shell.edgekit(
        "compress", "edgekit.yaml", cwd=project(tiny_project, "- prune: {method: substitute, kinds: [mish]}")
    )
    assert result.returncode == 2
    assert "data.validation is missing" in result.stderr
    spec = tiny_project / "edgekit.yaml"
    spec.write_text(spec.read_text().replace("kinds: [mish]", "kinds: [mish], force: true, activation: relu"))
    with pytest.raises(SpecError, match="the network has no Mish, as modules or as calls"):
        edgekit.compress(tiny_project)
