"""What every perception task promises, run over each on outputs made for the purpose."""

from __future__ import annotations

import json
import math
from types import ModuleType
from typing import Literal, get_args, get_origin

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from edgekit.core import plugins
from edgekit.core.errors import DataError, EdgekitError, SpecError, TensorError
from edgekit.core.predictions import Geometry
from edgekit.core.reports import Metric
from edgekit.core.spec import TaskSection
from edgekit.core.tensors import TensorSpec
from edgekit.preprocess import place
from edgekit.tasks import Accumulator, Task, TaskConfig
from tests.contract.task_examples import HEIGHT, WIDTH, Example, example_of


@pytest.fixture(params=plugins.names("tasks"))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def module(name: str) -> ModuleType:
    return plugins.load("tasks", name)


@pytest.fixture
def example(name: str, module: ModuleType) -> Example:
    found = example_of(name, module)
    if found is None:
        pytest.fail(f"the task {name!r} has no example; add tests/contract/task_examples/{name}.py")
    return found


@pytest.fixture
def task(module: ModuleType, example: Example) -> Task:
    made = module.Config.model_validate(example.section).create()
    assert isinstance(made, Task)
    return made


@pytest.fixture
def geometry() -> Geometry:
    return place((HEIGHT, WIDTH), (HEIGHT, WIDTH), "stretch")


class TestConfig:
    def test_contract(self, name: str, module: ModuleType, example: Example) -> None:
        assert issubclass(module.Config, TaskConfig)
        field = module.Config.model_fields["kind"].annotation
        assert get_origin(field) is Literal
        assert get_args(field) == (name,)
        config = module.Config.model_validate(example.section)
        with pytest.raises(ValidationError, match="frozen"):
            config.kind = "other"
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            module.Config.model_validate(example.section | {"no_such_key": 1})

    def test_survives_the_bundle(self, module: ModuleType, example: Example) -> None:
        config = module.Config.model_validate(example.section)
        stored = json.loads(json.dumps(config.model_dump(mode="json")))
        assert TypeAdapter(TaskSection).validate_python(stored) == config


def add(accumulator: Accumulator, task: Task, example: Example, geometry: Geometry, shown: dict[int, int]) -> None:
    """Frames by their seeds, each with the outputs of the frame that ``shown`` gives for it."""
    for seed, other in shown.items():
        truth, _ = example.frame(seed)
        _, outputs = example.frame(other)
        accumulator.update(task.decode(outputs, geometry), truth, f"frame-{seed}")


def test_says_what_it_found(task: Task, example: Example, geometry: Geometry) -> None:
    found = task.found(task.decode(example.frame(0)[1], geometry))
    assert found.text
    assert all(math.isfinite(number) for number in found.numbers.values())
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()


class TestMetrics:
    def test_a_perfect_model_gets_the_best_score(self, task: Task, example: Example, geometry: Geometry) -> None:
        accumulator = task.accumulator()
        add(accumulator, task, example, geometry, {seed: seed for seed in range(example.frames)})
        assert accumulator.compute() == example.best

    def test_names_and_directions(self, task: Task, example: Example) -> None:
        assert all(isinstance(metric, Metric) for metric in task.metrics)
        names = [metric.name for metric in task.metrics]
        assert len(set(names)) == len(names)
        assert set(example.best) == set(names)

    def test_a_wrong_model_scores_worse(self, task: Task, example: Example, geometry: Geometry) -> None:
        accumulator = task.accumulator()
        add(accumulator, task, example, geometry, {seed: 99 + seed for seed in range(example.frames)})
        found = accumulator.compute()
        assert set(found) <= {m.name for m in task.metrics}
        headline = task.metrics[0]
        assert math.isfinite(found[headline.name])
        assert (found[headline.name] < example.best[headline.name]) == headline.higher

    def test_order_of_frames_does_not_matter(self, task: Task, example: Example, geometry: Geometry) -> None:
        results = []
        seeds = range(example.frames)
        for order in (seeds, [seeds[-1], *seeds[:-1]], seeds[::-1]):
            accumulator = task.accumulator()
            # Some right, some wrong.
            add(accumulator, task, example, geometry, {seed: seed + seed % 2 for seed in order})
            results.append(accumulator.compute())
        assert results[0] == pytest.approx(results[2], rel=1e-12)
        assert results[0] == pytest.approx(results[1], rel=1e-12)

    def test_accumulators_share_nothing(self, task: Task, example: Example, geometry: Geometry) -> None:
        right, wrong = task.accumulator(), task.accumulator()
        for seed in range(example.frames):  # in turn
            add(right, task, example, geometry, {seed: seed})
            add(wrong, task, example, geometry, {seed: 99 + seed})
        assert right.compute() == example.best
        assert right.compute() != wrong.compute()

    def test_nothing_measured_is_an_error(self, task: Task) -> None:
        with pytest.raises(DataError):
            task.accumulator().compute()

    def test_truth_that_cannot_belong(self, task: Task, example: Example, geometry: Geometry) -> None:
        prediction = task.decode(example.frame(0)[1], geometry)
        for truth in example.foreign:
            with pytest.raises(DataError, match="frame-7"):
                task.accumulator().update(prediction, truth, "frame-7")


class TestWeights:
    """Every interval, slice and worst frame is built on this."""

    def accumulated(self, task: Task, example: Example, geometry: Geometry, weights: list[int]) -> Accumulator:
        """Frames as often as their weight says, some of them right; each copy has a name of its own."""
        made = task.accumulator()
        for i, weight in enumerate(weights):
            truth, outputs = example.frame(i)[0], example.frame(i if i % 3 else 99 + i)[1]
            for copy in range(weight):
                made.update(task.decode(outputs, geometry), truth, f"frame-{i}-{copy}")
        return made

    @pytest.fixture
    def count(self, example: Example) -> int:
        return max(example.frames, 7)

    def draws(self, count: int, most: int) -> list[list[int]]:
        rng = np.random.default_rng(0)
        return [rng.integers(0, most + 1, count).tolist() for _ in range(12)]

    def test_whole_weights_repeat_frames(self, task: Task, example: Example, geometry: Geometry, count: int) -> None:
        once = self.accumulated(task, example, geometry, [1] * count)
        assert len(once) == count
        for draw in self.draws(count, 1 if example.pairs else 3):
            try:
                expected = self.accumulated(task, example, geometry, draw).compute()
            except DataError:  # too few frames are left, for example of a subject
                continue
            assert once.compute(np.array(draw, np.float64)) == pytest.approx(expected, abs=1e-9)

    def test_parts(self, task: Task, example: Example, geometry: Geometry, count: int) -> None:
        once, measured = self.accumulated(task, example, geometry, [1] * count), 0
        for draw in (np.random.default_rng(1).random((20, count)) < 0.9).astype(int).tolist():
            try:
                expected = self.accumulated(task, example, geometry, draw).compute()
            except DataError:
                continue
            measured += 1
            assert once.compute(np.array(draw, np.float64)) == pytest.approx(expected, abs=1e-9)
        assert measured

    def test_no_weights_are_ones(self, task: Task, example: Example, geometry: Geometry, count: int) -> None:
        once = self.accumulated(task, example, geometry, [1] * count)
        assert once.compute(np.ones(count)) == once.compute()
        assert once.compute(np.full(count, 2.5)) == pytest.approx(once.compute(), abs=1e-12)

    def test_many_rows_are_each_alone(self, task: Task, example: Example, geometry: Geometry, count: int) -> None:
        once = self.accumulated(task, example, geometry, [1] * count)
        rows = np.array([[0] * count, *self.draws(count, 2), *np.eye(count)], np.float64)
        found = once.compute_many(rows)
        assert set(found) >= set(once.compute())
        assert all(values.shape == (len(rows),) and np.isnan(values[0]) for values in found.values())
        for i, row in enumerate(rows):
            made = {name: float(values[i]) for name, values in found.items() if not np.isnan(values[i])}
            try:
                expected = once.compute(row)
            except DataError:  # of several tasks, those that were measured
                assert task.metrics[0].name not in made or type(task).__name__ == "MultiTask"
                continue
            assert made == pytest.approx(expected, abs=1e-12)

    def test_no_frame_counts(self, task: Task, example: Example, geometry: Geometry, count: int) -> None:
        with pytest.raises(DataError):
            self.accumulated(task, example, geometry, [1] * count).compute(np.zeros(count))

    def test_unfit_weights(self, task: Task, example: Example, geometry: Geometry, count: int) -> None:
        once = self.accumulated(task, example, geometry, [1] * count)
        for bad in (-1.0, np.nan, np.inf):
            weights = np.ones(count)
            weights[2] = bad
            for call in (once.compute, lambda w: once.compute_many(w[None])):
                with pytest.raises(DataError, match=rf"weight of frame 2 is {bad}; expected .* 0 or more"):
                    call(weights)
        for call in (once.compute, lambda w: once.compute_many(w[None])):
            with pytest.raises(DataError, match=rf"weights are .* for {count} frames; expected float64 "):
                call(np.ones(count + 1))


class TestDecode:
    def test_known_outputs(self, task: Task, example: Example, geometry: Geometry) -> None:
        for seed in range(3):
            truth, outputs = example.frame(seed)
            assert example.same(task.decode(outputs, geometry), truth)

    def test_outputs_are_not_changed_or_kept(self, task: Task, example: Example, geometry: Geometry) -> None:
        truth, outputs = example.frame(0)
        kept = {k: v.copy() for k, v in outputs.items()}
        prediction = task.decode(outputs, geometry)
        for key, value in outputs.items():
            np.testing.assert_array_equal(value, kept[key])
            value[:] = -1
        assert example.same(prediction, truth)

    def test_missing_and_wrong_outputs(self, task: Task, example: Example, geometry: Geometry) -> None:
        with pytest.raises(TensorError):
            task.decode({}, geometry)
        outputs = example.frame(0)[1]
        for key, value in outputs.items():
            if example.shaped:
                with pytest.raises(TensorError, match=key):
                    task.decode(outputs | {key: value[..., None]}, geometry)
            with pytest.raises(TensorError, match=f"{key}.*NaN"):
                task.decode(outputs | {key: np.full_like(value, np.nan)}, geometry)

    def test_outputs_of_the_model_are_checked(self, task: Task, example: Example) -> None:
        task.check_outputs(example.outputs)
        for bad in ((), (TensorSpec("else", (1, 1)),), (TensorSpec(example.outputs[0].name, (7,)),)):
            with pytest.raises(SpecError, match=r"task\."):
                task.check_outputs(bad)


class TestSequences:
    def test_a_still_scene_does_not_flicker(self, task: Task, example: Example, geometry: Geometry) -> None:
        truth, outputs = example.frame(0)
        first, second = (task.decode(outputs, geometry) for _ in range(2))
        found = task.flicker((first, truth), (second, truth))
        assert found == {metric.name: 0.0 for metric in task.sequence_metrics}

    def test_shares_under_names_that_gate_knows(self, task: Task, example: Example, geometry: Geometry) -> None:
        names = {metric.name for metric in task.sequence_metrics}
        assert not names & {metric.name for metric in task.metrics}
        assert not any(metric.higher for metric in task.sequence_metrics)
        frames = [(task.decode(outputs, geometry), truth) for truth, outputs in map(example.frame, (0, 1))]
        found = task.flicker(*frames)
        assert set(found) <= names
        assert all(0 <= value <= 1 for value in found.values())
        assert found == pytest.approx(task.flicker(*reversed(frames)), rel=1e-12)


class TestDraw:
    def test_pictures(self, task: Task, example: Example, geometry: Geometry) -> None:
        image = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        before = image.copy()
        truth, outputs = example.frame(0)
        prediction = task.decode(outputs, geometry)
        alone, beside = task.draw(image, prediction), task.draw(image, prediction, truth)
        for picture in (alone, beside):
            assert picture.dtype == np.uint8
            assert picture.ndim == 3
            assert picture.shape[2] == 3
        assert alone.shape[0] >= HEIGHT
        assert alone.shape[1] >= WIDTH
        assert beside.size > alone.size
        np.testing.assert_array_equal(image, before)
        other = task.draw(image, task.decode(example.frame(1)[1], geometry))
        assert not np.array_equal(other, alone)

    def test_a_prediction_of_another_image(self, task: Task, example: Example, geometry: Geometry) -> None:
        prediction = task.decode(example.frame(0)[1], geometry)
        small = np.zeros((5, 5, 3), np.uint8)
        if example.sized:
            with pytest.raises(EdgekitError):
                task.draw(small, prediction)
        else:  # what is said of a whole frame fits any, but not what is no picture
            assert task.draw(small, prediction).shape[0] >= 5
            for bad in (small[..., 0], small.astype(np.float32)):
                with pytest.raises(EdgekitError):
                    task.draw(bad, prediction)
