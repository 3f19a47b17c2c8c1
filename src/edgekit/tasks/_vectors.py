"""Outputs that are one vector per frame: class scores and embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.core import suggest
from edgekit.core.errors import DataError, SpecError, TensorError
from edgekit.core.tensors import Array, Arrays, TensorSpec

Activation = Literal["softmax", "sigmoid", "none"]
"""What turns an output into probabilities.

``softmax``: the output holds a logit per class.  ``sigmoid``: it holds one logit, of the second of two
classes.  ``none``: it holds probabilities already.
"""
# What rounding does to values that were probabilities: far outside of these, they never were any.
_SLACK, _SUM = 1e-3, (0.5, 1.5)


def check_vector(outputs: Sequence[TensorSpec], name: str, size: int | None, meaning: str, fix: str) -> None:
    """Raise :class:`SpecError` unless output ``name`` is float32 ``(1, size)``; None is any size from 2 on.

    ``meaning`` says what the values are, ``fix`` what to correct when their number is another.
    """
    known = {spec.name: spec for spec in outputs}
    if name not in known:
        raise SpecError(f"task.output: the model has no output {name!r}; {suggest.allowed(name, tuple(known))}")
    spec = known[name]
    expected = f"task.output: expected float32[1, {size or 'D'}], {meaning}; the model gives {spec}"
    if len(spec.shape) != 2:
        raise SpecError(f"{expected}, which has {len(spec.shape)} dimensions instead of 2: flatten it in the model")
    if spec.shape[0] not in (None, 1):
        raise SpecError(f"{expected}, a batch of {spec.shape[0]}")
    width = spec.shape[1]
    if width is not None and (width < 2 if size is None else width != size):
        raise SpecError(f"{expected}, with {width} values: {fix}")
    if spec.dtype != "float32":
        raise SpecError(f"{expected}: cast the output to float32")


def read_vector(outputs: Arrays, name: str, size: int | None) -> Array:
    """The values of output ``name``, float32 ``(size,)``.

    Raises:
        TensorError: the output is missing, has another shape or dtype, or holds NaN or infinity.
    """
    if name not in outputs:
        raise TensorError(f"no output {name!r}; {suggest.allowed(name, tuple(outputs))}")
    value = outputs[name]
    if value.ndim != 2 or len(value) != 1 or (value.shape[1] < 2 if size is None else value.shape[1] != size):
        raise TensorError(f"output {name!r} has shape {list(value.shape)}; expected [1, {size or 'D'}]")
    if value.dtype != np.float32:
        raise TensorError(f"output {name!r} is {value.dtype}; expected float32")
    if not np.isfinite(value).all():
        raise TensorError(f"output {name!r} holds NaN or infinity; check the model with: edgekit verify")
    return np.asarray(value[0])


def scores_size(classes: int, activation: Activation) -> int:
    """How many values a frame has for that many classes."""
    return 1 if activation == "sigmoid" else classes


def check_scores(outputs: Sequence[TensorSpec], name: str, classes: int, activation: Activation) -> None:
    """Raise :class:`SpecError` unless output ``name`` holds the scores of that many classes."""
    meaning = "one logit for the second of two classes" if activation == "sigmoid" else "a score a class"
    fix = "correct task.classes" if activation != "sigmoid" else "set task.activation to softmax"
    check_vector(outputs, name, scores_size(classes, activation), meaning, fix)


def probabilities(outputs: Arrays, name: str, classes: int, activation: Activation) -> NDArray[np.float64]:
    """The probability of each class, ``(classes,)`` with sum one.

    Without an activation, values that quantization rounded are brought back to 0..1 and to a sum of one.

    Raises:
        TensorError: as :func:`read_vector`; or there is no activation and the values are no probabilities.
    """
    values = read_vector(outputs, name, scores_size(classes, activation)).astype(np.float64)
    if activation == "softmax":
        powers = np.exp(values - values.max())
        return np.asarray(powers / powers.sum())
    if activation == "sigmoid":
        second = 0.5 * (1 + np.tanh(values[0] / 2))  # does not overflow, as exp would
        return np.array([1 - second, second])
    low, high, total = float(values.min()), float(values.max()), float(values.sum())
    if low < -_SLACK or high > 1 + _SLACK or not _SUM[0] <= total <= _SUM[1]:
        raise TensorError(
            f"output {name!r} holds no probabilities: values from {low:.3g} to {high:.3g} with sum {total:.3g}; "
            "expected 0..1 with sum 1: give the logits, and set task.activation to softmax"
        )
    values = values.clip(0, 1)
    return np.asarray(values / values.sum())


def text_truth(truth: Any, sample_id: str, meaning: str) -> str:
    """A truth that is a text.

    Raises:
        DataError: it is none, or an empty one; ``meaning`` says what it should be.
    """
    if not isinstance(truth, str) or not truth:
        found = "an empty text" if isinstance(truth, str) else type(truth).__name__
        raise DataError(
            f"sample {sample_id!r}: truth is {found}; expected {meaning}: "
            "evaluate on a dataset with such truth, for example the format image_folder without classes"
        )
    return truth
