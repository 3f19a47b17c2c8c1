"""Regression: distance of values or landmarks from their labels."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.core import suggest
from edgekit.core.errors import DataError
from edgekit.core.predictions import Geometry
from edgekit.core.tensors import Array
from edgekit.tasks.regression import Config
from edgekit.training.losses._batch import TaskLoss

if TYPE_CHECKING:
    from torch import Tensor


def loss(task: Config) -> TaskLoss:
    """Smooth L1 (Girshick, "Fast R-CNN", ICCV 2015, equation 3) in the unit of the outputs, mean over the labels.

    Labels are brought to it as ``(label - offset) / scale``, so that values of any unit weigh the same where the
    network's own outputs do.  Angles go the shorter way round; labels that are missing (None, NaN) teach nothing.  A
    truth maps names to numbers.
    """
    return partial(_smooth, task)


def placed(task: Config, truth: Any, geometry: Geometry) -> Any:
    """The labels of a frame as float32 ``(C,)`` in the order of the outputs, landmarks in what they are measured in."""
    if not isinstance(truth, Mapping):
        return truth
    values = np.array([_number(truth, name) for name in _labels(task)], np.float64)
    if task.points and task.coordinates != "original":
        top, left, rows, columns = geometry.content
        points = values.reshape(-1, 2) * [columns / geometry.original[1], rows / geometry.original[0]] + [left, top]
        share = [geometry.tensor[1], geometry.tensor[0]] if task.coordinates == "input-share" else [1, 1]
        values = (points / share).reshape(-1)
    if task.points and task.layout == "planes":
        values = values.reshape(-1, 2).T.reshape(-1)
    return values.astype(np.float32)


def _labels(task: Config) -> tuple[str, ...]:
    return tuple(f"{name}_{axis}" for name in task.names for axis in "xy") if task.points else task.names


def _number(truth: Mapping[str, Any], name: str) -> float:
    if name not in truth:
        raise DataError(f"truth has no label {name!r}; {suggest.allowed(name, tuple(map(str, truth)))}")
    value = truth[name]
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating | None):
        raise DataError(f"truth: label {name!r} is {value!r}; expected a number")
    return float("nan") if value is None else float(value)


def _smooth(task: Config, outputs: Mapping[str, Tensor], truth: Any) -> Tensor:
    import torch
    from torch.nn import functional

    names: tuple[str, ...] = (task.output,) if isinstance(task.output, str) else task.output
    found = torch.cat([outputs[name].flatten(1) for name in names], 1)
    if isinstance(truth, tuple) or truth.shape != found.shape:
        given = "of several forms" if isinstance(truth, tuple) else list(truth.shape)
        raise DataError(f"truth is {given}; expected values by name, {list(found.shape)} in a batch")
    scale, offset, period = (_column(values, found) for values in (task.scale, task.offset, _periods(task)))
    gap = found - (truth - offset) / scale
    circle = period / scale.abs()
    gap = torch.where(circle.isfinite(), (gap + circle / 2) % circle - circle / 2, gap)
    known = ~truth.isnan()
    gap = torch.where(known, gap, torch.zeros_like(gap))
    total = functional.smooth_l1_loss(gap, torch.zeros_like(gap), reduction="sum")
    mean: Tensor = total / known.sum().clamp(min=1)
    return mean


def _periods(task: Config) -> Array:
    given = task.period
    by_name = given if isinstance(given, dict) else {} if given is None else dict.fromkeys(task.names, given)
    return np.repeat([by_name.get(name, np.inf) for name in task.names], 2 if task.points else 1)


def _column(values: Any, like: Tensor) -> Tensor:
    import torch

    return torch.from_numpy(np.asarray(values, np.float32)).to(like.device).expand(like.shape[1])
