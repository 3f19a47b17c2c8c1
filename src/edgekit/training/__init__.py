"""Training, for the techniques that change weights: quantization-aware training, pruning, distillation.

``train()`` is one loop for all of them; ``losses`` holds what it minimises.
"""

from __future__ import annotations

from edgekit.training._checkpoint import tensors
from edgekit.training._precision import lowered
from edgekit.training._randomness import seed_all, undisturbed
from edgekit.training.augment import Augmentation, Variation
from edgekit.training.draws import Augmentable, Draw, Vary
from edgekit.training.loop import Trained, restore, train
from edgekit.training.losses import Batch, Distance, Loss, Placed, TaskLoss, of_task, pick, supervised, teacher
from edgekit.training.settings import TrainingConfig
from edgekit.training.tuning import fit, packed, unpacked

__all__ = [
    "Augmentable",
    "Augmentation",
    "Batch",
    "Distance",
    "Draw",
    "Loss",
    "Placed",
    "TaskLoss",
    "Trained",
    "TrainingConfig",
    "Variation",
    "Vary",
    "fit",
    "lowered",
    "of_task",
    "packed",
    "pick",
    "restore",
    "seed_all",
    "supervised",
    "teacher",
    "tensors",
    "train",
    "undisturbed",
    "unpacked",
]
