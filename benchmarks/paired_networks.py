"""Networks of one engine latency, made from the same network in different ways: what paired_seeds.py trains.

``uniform`` loses the same share of every layer.  The others are made as fast as that one, within :data:`WITHIN`:
``aware`` by the widths that ``prune: {method: channels, speedup: ...}`` chooses, ``fastnas`` by ModelOpt's search under
a share of the multiplications.  ``torch-pruning`` is the quick start of that library, which has a ratio and nothing
else.  One ratio for all moves seven layers at once from one step of the staircase to the next, a fifth of the engine's
time: so it is the others that are brought to its latency, by bisection.  Times are processor seconds of
engines with one thread: what else the machine does stretches the longer of two queries more than the shorter.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import nn

from edgekit.core.artifacts import write_bytes, write_json
from edgekit.data import Dataset
from edgekit.model import handover
from edgekit.prune import channels
from edgekit.prune.channels import frames
from edgekit.stats import faster
from edgekit.technique import Job
from edgekit.training import packed, tensors, unpacked

WITHIN = 0.02
"""Two engines are called as fast as each other when their medians are this near."""
_REACH, _TRIES, _ROUNDS = 0.25, 8, 3
_NEAREST = 0.03
"""Of FastNAS: on ``plain`` no share of the multiplications comes nearer, in steps of 16 channels nor of 8."""
_STEP = 16
_SCORED = 24
"""Validation frames by which FastNAS scores a width."""


@dataclass(frozen=True)
class Bench:
    """What the networks are made with.

    Args:
        job: with a bench.
        folder: that they are kept in.
        ratio: share of the channels that ``uniform`` loses.
        most: the largest share that one layer of ``aware`` loses.
        score: the task metric of a network in PyTorch on frames.
        validation: frames.
    """

    job: Job
    folder: Path
    ratio: float
    most: float
    score: Callable[[nn.Module, Dataset], float]
    validation: Dataset

    def model(self, network: nn.Module) -> bytes:
        """FP32 ONNX."""
        assert self.job.export is not None
        return self.job.export(network)

    def speedup(self, control: bytes, candidate: bytes) -> faster.Speedup:
        """Of engines in turn, opened anew several times as often as the target's own comparisons do."""
        bench = self.job.need_bench("paired networks")
        times: dict[str, list[float]] = {"control": [], "candidate": []}
        for _ in range(_ROUNDS):
            found = bench.times_ms({"control": control, "candidate": candidate})
            for name, values in times.items():
                values += found[name]
        return faster.speedup(times["control"], times["candidate"], _ROUNDS * faster.OPENINGS)

    def own(self) -> nn.Module:
        assert self.job.network is not None
        return self.job.network()

    def narrowed(self, name: str) -> nn.Module:
        """A network that :func:`make` kept, before any training."""
        widths = json.loads((self.folder / f"{name}.json").read_text())["widths"]
        return handover.narrowed(self.own(), widths, unpacked((self.folder / f"{name}.pt").read_bytes()))


def equal(measure: Callable[[float], float], start: float, within: float = WITHIN) -> list[tuple[float, float]]:
    """Bisection for the argument at which ``measure``, which rises with it, gives 1; every try, the last one is near.

    Raises:
        SystemExit: no try is within ``within`` of 1.
    """
    low, high, at = start * (1 - _REACH), start * (1 + _REACH), start
    tried: list[tuple[float, float]] = []
    for _ in range(_TRIES):
        found = measure(at)
        tried.append((at, found))
        if abs(found - 1) <= within:
            return tried
        low, high = (at, high) if found < 1 else (low, at)
        at = (low + high) / 2
    raise SystemExit(f"no network within {within:.0%} of the wanted latency: {tried}")


def uniform(bench: Bench) -> tuple[nn.Module, dict[str, Any]]:
    """The same share of every layer, in steps of the staircase."""
    config = channels.Config(method="channels", ratio=bench.ratio, round_to=_STEP)
    return channels.rebuild(bench.own(), channels.apply(bench.job, config).change), {"ratio": bench.ratio}


def aware(bench: Bench) -> tuple[nn.Module, dict[str, Any]]:
    """The widths that the technique chooses for the speed-up of ``uniform``."""
    own, control = bench.job.source.read_bytes(), bench.model(bench.narrowed("uniform"))
    found: list[tuple[nn.Module, dict[str, Any]]] = []

    def slower(share: float) -> float:
        config = channels.Config(method="channels", speedup=1 / share, round_to=_STEP, max_ratio=bench.most)
        job = replace(bench.job, scratch=bench.folder / f"aware-{share:.4f}")
        change = channels.apply(job, config).change
        found.append((channels.rebuild(bench.own(), change), dict(change.record)))
        return 1 / bench.speedup(control, bench.model(found[-1][0])).ratio

    tried = equal(slower, 1 / bench.speedup(own, control).ratio)
    network, record = found[-1]
    return network, {"speedup_asked": 1 / tried[-1][0], "tried": tried, "table": record["table"]}


def torch_pruning(bench: Bench) -> tuple[nn.Module, dict[str, Any]]:
    """torch-pruning's quick start (README of 1.6): L2 norms of groups, one ratio, widths in steps of 8."""
    import torch_pruning as tp

    network = bench.own()
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    pruner = tp.pruner.BasePruner(
        network,
        frames.first(bench.job)[0],
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=bench.ratio,
        ignored_layers=convolutions[-1:],
        round_to=8,
    )
    pruner.step()
    return network, {"ratio": bench.ratio}


def fastnas(bench: Bench) -> tuple[nn.Module, dict[str, Any]]:
    """ModelOpt's FastNAS under a share of the multiplications, scored by the task metric of some validation frames."""
    import modelopt.torch.prune as mtp

    control = bench.model(bench.narrowed("uniform"))
    example = frames.first(bench.job)[0]
    some = [bench.validation[k * len(bench.validation) // _SCORED] for k in range(_SCORED)]
    config = {
        "score_func": lambda network: bench.score(network, some),
        "checkpoint": str(bench.folder / "fastnas-search.pth"),
        "verbose": False,
    }
    found: list[nn.Module] = []

    def slower(share: float) -> float:
        pruned, _ = mtp.prune(
            bench.own(),
            mode=[("fastnas", {"nn.Conv2d": {"*": {"channel_divisor": _STEP}}})],
            constraints={"flops": f"{100 * share:.3f}%"},
            dummy_input=example,
            config=config,
        )
        found.append(plain(bench.own(), pruned))
        return 1 / bench.speedup(control, bench.model(found[-1])).ratio

    tried = equal(slower, (1 - bench.ratio) ** 2, _NEAREST)
    return found[-1], {"flops": tried[-1][0], "tried": tried}


def plain(network: nn.Module, pruned: nn.Module) -> nn.Module:
    """``network`` with the widths and tensors of a network of other classes that has the same modules."""
    return handover.narrowed(network, handover.widths(network, pruned), tensors(pruned))


WAYS: Mapping[str, Callable[[Bench], tuple[nn.Module, dict[str, Any]]]] = {
    "uniform": uniform,
    "aware": aware,
    "torch-pruning": torch_pruning,
    "fastnas": fastnas,
}


def convolutions(network: nn.Module) -> Iterator[int]:
    """Output channels of each convolution, in order."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            yield module.out_channels


def make(bench: Bench, name: str) -> dict[str, Any]:
    """The record of one network, made unless it is in the folder; the others need ``uniform`` before them."""
    file = bench.folder / f"{name}.json"
    if not file.exists():
        with by_processor():
            _make(bench, name)
    found: dict[str, Any] = json.loads(file.read_text())
    return found


@contextlib.contextmanager
def by_processor() -> Iterator[None]:
    """Engines that take turns are timed by what the process computes."""
    with mock.patch("edgekit.engine._turns.time", SimpleNamespace(perf_counter=time.process_time)):
        yield


def _make(bench: Bench, name: str) -> None:
    network, record = WAYS[name](bench)
    network.eval()
    model, own = bench.model(network), bench.job.source.read_bytes()
    record |= {
        "widths": handover.widths(bench.own(), network),
        "channels": list(convolutions(network)),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "speedup": asdict(bench.speedup(own, model)),
    }
    if name != "uniform":
        other = bench.narrowed("uniform")
        record |= {
            "as_fast_as_uniform": asdict(bench.speedup(bench.model(other), model)),
            "same_as_uniform": same(network, other),
        }
    write_bytes(bench.folder / f"{name}.pt", packed(tensors(network)))
    write_json(bench.folder / f"{name}.json", record)


def same(network: nn.Module, other: nn.Module) -> bool:
    """Whether two networks have the same tensors."""
    theirs = tensors(other)
    return all(
        theirs[name].shape == tensor.shape and torch.equal(theirs[name], tensor)
        for name, tensor in tensors(network).items()
    )
