"""What every method of distillation promises."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest

from edgekit.core import plugins
from edgekit.core.errors import SpecError
from edgekit.technique import Change, Changed, TechniqueConfig
from tests.support import tiny_distill as tiny
from tests.support.tiny_segmentation import run

# The smallest step for each method; a new method adds a line.
EXAMPLES: dict[str, dict[str, Any]] = {
    "logits": {},
    "features": {"layers": ["shared", "late"]},
    "relations": {"weight": 0.1},
}


@pytest.fixture(scope="module", params=plugins.names("distill"))
def name(request: pytest.FixtureRequest) -> str:
    if request.param not in EXAMPLES:
        pytest.fail(f"the method {request.param!r} has no example; add one to EXAMPLES in {__file__}")
    return str(request.param)


@pytest.fixture(scope="module")
def module(name: str) -> ModuleType:
    return plugins.load("distill", name)


@pytest.fixture(scope="module")
def config(name: str, module: ModuleType) -> Callable[..., Any]:
    def made(**keys: Any) -> Any:
        training = tiny.QUICK | keys.pop("training", {})
        return module.Config.model_validate({"method": name, "training": training} | EXAMPLES[name] | keys)

    return made


@pytest.fixture(scope="module")
def made(module: ModuleType, config: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Changed:
    """A student after 40 steps on frames without labels."""
    folder = tmp_path_factory.mktemp("made")
    job = tiny.job(folder, tiny.Unlabelled(), tiny.exporter(folder))
    changed = module.apply(job, config(training={"steps": 40}))
    assert isinstance(changed, Changed)
    return changed


class TestMethod:
    def test_config(self, config: Callable[..., Any]) -> None:
        found = config()
        assert isinstance(found, TechniqueConfig)
        assert found.changes == "function"
        assert not found.measures
        assert config(keep="best").measures
        assert found.reads() == ()
        assert type(found).model_validate(json.loads(found.model_dump_json())) == found

    def test_the_student_comes_nearer_to_the_teacher(self, module: ModuleType, config: Any, made: Changed) -> None:
        rebuilt = module.rebuild(tiny.student(), replace(made.change, config=config()))
        before, after = (tiny.apart(tiny.teacher(), network) for network in (tiny.student(), rebuilt))
        assert after < 0.7 * before

    def test_what_is_rebuilt_is_the_model(self, module: ModuleType, config: Any, made: Changed) -> None:
        onnx.checker.check_model(onnx.load_from_string(made.model), full_check=True)
        rebuilt = module.rebuild(tiny.student(), Change(made.change.record, made.change.weights, config()))
        feeds, _ = tiny.FRAMES[3]
        found = run(made.model, feeds)
        assert list(found) == ["logits", "gate"]
        np.testing.assert_allclose(found["logits"], tiny.outputs_of(rebuilt, feeds)["logits"], atol=1e-4)

    def test_record_is_json(self, name: str, made: Changed) -> None:
        record = dict(made.change.record)
        assert json.loads(json.dumps(record)) == record
        assert (record["method"], record["steps"], record["teacher"]) == (name, 40, "the user's own network")
        first, last = record["history"][0], record["history"][-1]
        assert (first["step"], last["step"]) == (0, 40)
        assert last["loss"] > 0

    @pytest.mark.parametrize("at", [1, 4, 5])
    def test_killed_and_started_again_ends_with_the_same_bits(
        self, module: ModuleType, config: Any, tmp_path: Path, at: int, name: str
    ) -> None:
        whole, broken = (tmp_path / part for part in ("whole", "broken"))
        for folder in (whole, broken):
            folder.mkdir()
        expected = module.apply(tiny.job(whole), config(labels=0.5))
        with pytest.raises(tiny.Killed):
            module.apply(replace(tiny.job(broken), progress=tiny.Dying(f"distill {name}", at)), config(labels=0.5))
        again = module.apply(tiny.job(broken), config(labels=0.5))
        assert again.change.weights == expected.change.weights

    def test_the_tasks_own_loss_stands_beside(self, module: ModuleType, config: Any, tmp_path: Path) -> None:
        found = []
        for weight in (0.0, 2.0):
            folder = tmp_path / str(weight)
            folder.mkdir()
            found.append(module.apply(tiny.job(folder), config(labels=weight)).change.weights)
        assert found[0] != found[1]

    def test_no_training_frames(self, module: ModuleType, config: Any, tmp_path: Path) -> None:
        job = replace(tiny.job(tmp_path), examples=None, seen=None)
        with pytest.raises(SpecError, match=r"no training frames; give data\.training"):
            module.apply(job, config())

    def test_no_network(self, module: ModuleType, config: Any, tmp_path: Path) -> None:
        job = replace(tiny.job(tmp_path), network=None, own=None, export=None)
        with pytest.raises(SpecError, match=r"the model is an ONNX file; give model\.factory"):
            module.apply(job, config())

    def test_labels_without_a_loss(self, module: ModuleType, config: Any, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match=r"labels: the task has no loss"):
            module.apply(replace(tiny.job(tmp_path), loss=None), config(labels=1.0))

    def test_patience_without_a_metric(self, config: Any) -> None:
        with pytest.raises(ValueError, match=r"set keep: best"):
            config(training={"patience": 3})
