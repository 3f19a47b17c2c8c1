"""Made subjects, and the usual recipe for verification metrics: scikit-learn's ROC, a root finder for the EER."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.optimize import brentq
from sklearn.metrics import roc_auc_score, roc_curve
from sklearn.metrics.pairwise import cosine_similarity

from edgekit.core.tensors import Array
from edgekit.tasks.embedding import metric_name


def roc_reference(genuine: Any, scores: Any, fars: Sequence[float] = ()) -> dict[str, float]:
    """``eer``, ``auc`` and ``tar@<far>``; ``genuine`` says of each score whether it should be high."""
    far, tar, _ = roc_curve(genuine, scores, drop_intermediate=False)
    expected = {f"tar@{x:g}": float(tar[far <= x + 1e-12].max()) for x in fars}
    expected["eer"] = float(brentq(lambda x: 1 - x - np.interp(x, far, tar), 0, 1, xtol=1e-14))
    return expected | {"auc": float(roc_auc_score(genuine, scores))}


def verification_reference(labels: Array, scores: Array, fars: tuple[float, ...]) -> dict[str, float]:
    names = {f"tar@{far:g}": metric_name(far) for far in fars}
    return {names.get(name, name): value for name, value in roc_reference(labels, scores, fars).items()}


def people(count: int, frames: int, noise: float = 0.3, seed: int = 0) -> tuple[Array, list[str]]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 1, (count, 8))
    ids = np.repeat(np.arange(count), frames)
    return centres[ids] + rng.normal(0, noise, (len(ids), 8)), [f"s{i:03}" for i in ids]


def cosines(one: Array, other: Array, single: bool = True) -> Array:
    """Of vectors that a model gives in single precision; rounded, because equal angles differ in the last place."""
    if single:
        one, other = one.astype(np.float32), other.astype(np.float32)
    return np.rint(cosine_similarity(one.astype(np.float64), other.astype(np.float64)) * 2**24) / 2**24


def pairs(vectors: Array, subjects: list[str]) -> tuple[Array, Array]:
    """Whether the two are one subject, and their cosine, for every pair."""
    cosine = cosines(vectors, vectors)
    every = np.triu_indices(len(subjects), 1)
    return np.equal.outer(np.array(subjects), np.array(subjects))[every], cosine[every]
