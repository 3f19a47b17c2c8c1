"""Which frames a step takes, and what gradients of several batches add up to."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from edgekit.core.errors import DataError
from edgekit.training import Batch
from tests.support.tiny_training import Blobs, Pictures, net, run, same, squared


def plain() -> Any:
    """A network without batch norm and dropout, whose gradients do not depend on the batch."""
    torch.manual_seed(0)
    network = net()
    network.norm, network.drop = torch.nn.Identity(), torch.nn.Identity()
    return network


def test_accumulated_batches_are_one_large_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"examples": Blobs(), "steps": 5, "ema": 0.0, "validate_every": 5}
    norms: list[float] = []
    clip = torch.nn.utils.clip_grad_norm_

    def noted(parameters: Any, most: float) -> torch.Tensor:
        norms.append(clip(parameters, most).item())  # Adam alone would not tell gradients of another scale
        return torch.tensor(norms[-1])

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", noted)
    large = run(plain(), batch=6, **settings)
    many = run(plain(), batch=2, accumulate=3, **settings)
    assert norms[5:] == pytest.approx(norms[:5], rel=1e-3)
    for name, tensor in large.state.items():
        assert torch.allclose(tensor, many.state[name], atol=1e-6), name
    assert many.history[-1].loss == pytest.approx(large.history[-1].loss, rel=1e-5)
    assert not same(large, run(plain(), batch=2, **settings))


def test_a_batch_says_which_frames_it_holds() -> None:
    """Read again, as a teacher reads them in another size, they are the same pictures."""
    seen: list[Batch] = []

    def loss(outputs: Any, batch: Batch) -> torch.Tensor:
        seen.append(batch)
        return squared(outputs, batch)

    pictures = Pictures()
    run(examples=pictures, loss=loss, steps=3, validate_every=3, accumulate=2, augment={"flip": 0.5, "crop": 0.5})
    assert [len(batch.draws) for batch in seen] == [3] * 6
    assert sorted({draw.index for batch in seen for draw in batch.draws}) == list(range(7))
    variations = {draw.vary for batch in seen for draw in batch.draws}
    assert len(variations) == 18
    for batch in seen:
        again = [draw.of(pictures) for draw in batch.draws]
        images = torch.cat([torch.from_numpy(feeds["image"]) for feeds, _ in again])
        assert torch.equal(images, batch.inputs["image"])


def test_frames_that_are_model_inputs_already_cannot_be_augmented() -> None:
    with pytest.raises(DataError, match=r"training\.augment: these training frames are model inputs already"):
        run(augment={"flip": 0.5})
