"""What narrowing each group alone costs and saves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.core.errors import ModelError, SpecError
from edgekit.prune import channels
from edgekit.prune.channels import sensitivity
from tests.support.counted_bench import CountedBench, counted_job

pytest.importorskip("torch_pruning", reason="torch-pruning is not installed")


def test_every_group_the_best_bargain_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (channels, sensitivity):  # whatever processor this runs on
        monkeypatch.setattr(module, "step", lambda profile: 8)
    job = counted_job("segmenter", tmp_path)
    found = sensitivity.analyse(job)
    assert {(one.layers[0], one.channels, one.narrowed) for one in found} == {
        ("stem.0", 16, 8),
        ("down.0", 24, 16),
        ("wide", 24, 16),
        ("refine.0", 16, 8),
    }
    bargains = [one.cost / one.saved_ms for one in found]
    assert bargains == sorted(bargains)
    assert all(one.cost > 0 for one in found)

    # The step that prunes reads the same table.
    assert isinstance(job.bench, CountedBench)
    count = len(job.bench.timed)
    channels.apply(job, channels.Config(method="channels", speedup=1.5))
    assert len(job.bench.timed) - count <= 2 * 5


def test_refused(tmp_path: Path) -> None:
    job = counted_job("plain", tmp_path)
    with pytest.raises(ModelError, match=r"give model\.factory"):
        sensitivity.analyse(replace(job, network=None))
    with pytest.raises(SpecError, match=r"give data\.validation"):
        sensitivity.analyse(replace(job, bench=None))
