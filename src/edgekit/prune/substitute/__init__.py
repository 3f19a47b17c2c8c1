"""Operators that are slow in INT8 on the target make room for cheaper ones, where measurements say that it pays.

Nothing is trained here: a distillation after this step gives back the accuracy that the exchange costs.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
from pydantic import Field, model_validator
from typing_extensions import Self

from edgekit.core.errors import DataError, SpecError
from edgekit.core.variant import Changes
from edgekit.prune.substitute import measured, sites
from edgekit.prune.substitute.affine import fitted
from edgekit.prune.substitute.forms import FORMS, Kind, made
from edgekit.prune.substitute.sites import Site
from edgekit.technique import Change, Changed, Job, TechniqueConfig
from edgekit.training import packed, unpacked

if TYPE_CHECKING:
    from torch import Tensor, nn

_ACTIVATIONS = ("silu", "gelu", "mish")
_LOOKED_FOR = {
    "silu": "SiLU or Swish",
    "gelu": "GELU",
    "mish": "Mish",
    "layernorm": "LayerNorm",
    "upsample": "bilinear or bicubic enlarging by whole factors",
}


class Config(TechniqueConfig):
    """Operators that are slow in INT8 exchanged for cheaper ones."""

    method: Literal["substitute"]
    changes: ClassVar[Changes] = "function"
    kinds: tuple[Kind, ...] = Field(
        ("silu", "gelu", "mish", "upsample"), description="operators to exchange; layernorm by name only"
    )
    activation: Literal["auto", "hardswish", "relu"] = Field("auto", description="in place of SiLU, GELU and Mish")
    upsample: Literal["auto", "exact", "half", "conv", "nearest"] = Field(
        "auto", description="in place of bilinear enlarging"
    )
    keep: tuple[str, ...] = Field((), description="patterns of modules that stay as they are, e.g. 'head.*'")
    force: bool = Field(False, description="exchange without measuring whether it pays")
    precision: Literal["int8", "fp32"] = Field("int8", description="of the engines that are compared")
    frames: int = Field(32, ge=1, description="calibration frames that a LayerNorm is fitted on")

    @property
    def measures(self) -> bool:
        return not self.force

    @model_validator(mode="after")
    def _knows_what_to_do(self) -> Self:
        if not self.kinds:
            raise ValueError(f"kinds is empty; give some of {', '.join(get_args(Kind))}")
        for key, kinds in (("activation", _ACTIVATIONS), ("upsample", ("upsample",))):
            if self.force and getattr(self, key) == "auto" and {*kinds} & {*self.kinds}:
                raise ValueError(f"force: true measures nothing, so {key}: auto cannot choose; name one")
        return self

    def forms(self, kind: Kind) -> tuple[str, ...]:
        """What may stand in for a kind, what computes most nearly the same first."""
        wanted = self.activation if kind in _ACTIVATIONS else self.upsample if kind == "upsample" else "auto"
        return FORMS[kind] if wanted == "auto" else (wanted,)


def apply(job: Job, config: Config) -> Changed:
    """Exchange what pays.

    The record has the sites, what stands in for each, and what was measured.

    Raises:
        ModelError: the model is an ONNX file.
        SpecError: the network has none of the operators, none pays, a pattern in ``keep`` matches nothing, or there are
            no validation frames to measure on.
        DataError: no calibration frame.
    """
    network_of, export = job.need_network("prune: substitute")
    inputs = _first(job)
    found = sites.find(network_of(), inputs, config.kinds, config.keep)
    if not found:
        wanted = ", ".join(_LOOKED_FOR[kind] for kind in config.kinds)
        raise SpecError(
            f"prune: substitute: the network has no {wanted}, as modules or as calls of torch.nn.functional; "
            "leave the step out" + (", or give less in keep" if config.keep else "")
        )
    weights = fitted(network_of(), found, itertools.islice(iter(job.frames), config.frames), job.inputs)
    tries = [] if config.force else _measured(job, config, found, weights)
    kinds = dict.fromkeys(site.kind for site in found)
    chosen = {kind: config.forms(kind)[0] for kind in kinds} if config.force else measured.pays(tries, config.forms)
    network = network_of()
    stand_ins = _exchanged(network, found, chosen, weights)
    record = {
        "method": "substitute",
        "config": config.model_dump(mode="json"),
        "chosen": chosen,
        "sites": [{**_described(site), "form": chosen[site.kind]} for site in stand_ins],
        "measured": measured.described(tries),
    }
    state = {
        f"{place}.{name}": t for place, one in enumerate(stand_ins.values()) for name, t in one.state_dict().items()
    }
    return Changed(export(network), Change(record, packed(state)))


def rebuild(network: nn.Module, change: Change) -> nn.Module:
    """``network`` with the same sites exchanged."""
    state = unpacked(change.weights)
    chosen: dict[Site, nn.Module] = {}
    for place, entry in enumerate(change.record["sites"]):
        site = Site(entry["kind"], entry["module"], entry["call"], entry["channels"], tuple(entry["scale"]))
        module = made(entry["form"], site.channels, site.scale)
        start = f"{place}."
        module.load_state_dict({name[len(start) :]: t for name, t in state.items() if name.startswith(start)})
        chosen[site] = module.eval()
    return sites.exchange(network, chosen)


def _exchanged(
    network: nn.Module, found: Sequence[Site], chosen: Mapping[Kind, str], weights: Mapping[Site, Mapping[str, Tensor]]
) -> dict[Site, nn.Module]:
    """Exchange the sites of the chosen kinds in place; gives what stands in for each."""
    stand_ins = {site: made(chosen[site.kind], site.channels, site.scale) for site in found if site.kind in chosen}
    for site, module in stand_ins.items():
        if site in weights:
            module.load_state_dict(dict(weights[site]))
        module.eval()
    sites.exchange(network, stand_ins)
    return stand_ins


def _measured(
    job: Job, config: Config, found: Sequence[Site], weights: Mapping[Site, Mapping[str, Tensor]]
) -> list[measured.Tried]:
    """Every kind in every form that may stand in, on the target."""
    bench, (network_of, export) = job.need_bench("prune: substitute"), job.need_network("prune: substitute")
    typed = job.placed if config.precision == "int8" else None
    kinds = dict.fromkeys(site.kind for site in found)
    ways = [(kind, form) for kind in kinds for form in config.forms(kind)]
    models: dict[tuple[Kind, str], bytes] = {}
    with job.progress.track("try exchanges", len(ways) + 1) as advance:
        before = job.source.read_bytes() if typed is None else typed(job.source.read_bytes())
        advance()
        for kind, form in ways:
            network = network_of()
            _exchanged(network, found, {kind: form}, weights)
            model = export(network)
            models[kind, form] = model if typed is None else typed(model)
            advance()
    return measured.tried(bench, before, models)


def _described(site: Site) -> dict[str, Any]:
    return {
        "kind": site.kind,
        "module": site.module,
        "call": site.call,
        "channels": site.channels,
        "scale": list(site.scale),
    }


def _first(job: Job) -> list[Tensor]:
    """The first calibration frame, as the network takes it."""
    import torch

    feeds = next(iter(job.frames), None)
    if feeds is None:
        raise DataError("the calibration set is empty; give data.calibration at least one frame")
    return [torch.from_numpy(np.array(feeds[name])) for name in job.inputs or tuple(feeds)]
