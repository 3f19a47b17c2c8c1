"""Order of frames and random numbers as functions of seed and step, so that no state of theirs has to be kept."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np


def order(seed: int, step: int, batch: int, count: int) -> list[int]:
    """Indices of the frames of a step: every frame once in ``count`` draws, in an order of its own each time round."""
    drawn = range(step * batch, (step + 1) * batch)
    rounds = {at // count: np.random.default_rng([seed, at // count]).permutation(count) for at in drawn}
    return [int(rounds[at // count][at % count]) for at in drawn]


def seed_all(seed: int, step: int) -> None:
    """Seed Python's, NumPy's and PyTorch's global generators for one step."""
    import torch

    words = np.random.SeedSequence([seed, step]).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    torch.manual_seed(int(words[2]) << 32 | int(words[3]))


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Leave the global generators as they were."""
    import torch

    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
