"""Several tasks on one model: names, parts of the truth, and pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from edgekit.core.errors import DataError, SpecError, TensorError
from edgekit.core.spec import TaskSection
from edgekit.core.specfile import read_spec
from edgekit.core.tensors import Array, TensorSpec
from edgekit.preprocess import place
from edgekit.tasks._drawing import colours
from edgekit.tasks.multitask import Config, MultiTask
from tests.contract.task_examples.multitask import EXAMPLE
from tests.support.projects import SPEC

SIZE = (24, 40)


def task(**changes: Any) -> MultiTask:
    return Config.model_validate(EXAMPLE.section | changes).create()


def decoded(seed: int, made: MultiTask | None = None) -> tuple[Any, Any]:
    truth, outputs = EXAMPLE.frame(seed)
    return (made or task()).decode(outputs, place(SIZE, SIZE, "stretch")), truth


class TestConfig:
    def test_paths_of_a_part_are_beside_the_spec(self, tmp_path: Path) -> None:
        (tmp_path / "lanes.json").write_text('["background", "lane"]')
        section: TypeAdapter[Any] = TypeAdapter(TaskSection)
        lanes = {"kind": "segmentation", "output": "lanes", "classes": "lanes.json"}
        config = section.validate_python({"kind": "multitask", "tasks": {"lanes": lanes}}, context={"base": tmp_path})
        assert config.tasks["lanes"].classes == ("background", "lane")
        stored = json.loads(json.dumps(config.model_dump(mode="json")))
        assert stored["tasks"]["lanes"]["classes"] == ["background", "lane"]

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"tasks": {}}, "at least 1 item"),
            ({"tasks": {"a/b": EXAMPLE.section["tasks"]["area"]}}, "tasks: 'a/b' becomes a part of metrics' names"),
            ({"tasks": {"area": EXAMPLE.section}}, r"kind: 'multitask' is unknown; .*allowed: .*segmentation"),
            ({"truth": {"aera": "drivable"}}, r"truth: no task 'aera'; did you mean 'area'\?"),
            ({"loss_weights": {"aera": 2}}, r"loss_weights: no task 'aera'; did you mean 'area'\?"),
            ({"loss_weights": {"area": -1}}, "greater than or equal to 0"),
            ({"loss_weights": {"area": float("inf")}}, "finite number"),
            ({"loss_weights": dict.fromkeys(EXAMPLE.section["tasks"], 0)}, "every task has 0, so training would learn"),
        ],
    )
    def test_refused(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            task(**changes)

    def test_a_mistake_in_a_part_has_its_line(self, tmp_path: Path) -> None:
        spec = tmp_path / "edgekit.yaml"
        old = "task: {kind: segmentation, output: logits, classes: [floor, red, green], ignore_index: 255}"
        lines = "task:\n  kind: multitask\n  tasks:\n    area:\n      kind: segmentation\n      output: logits\n"
        assert old in SPEC
        spec.write_text(SPEC.replace(old, lines + "      clases: [floor, red, green]"))
        with pytest.raises(SpecError) as caught:
            read_spec(spec)
        line = spec.read_text().splitlines().index("      clases: [floor, red, green]") + 1
        wanted = f"edgekit.yaml:{line}: task.tasks.area.clases: unknown key 'clases'; did you mean 'classes'?"
        assert wanted in "\n".join(caught.value.problems)


class TestNames:
    def test_metrics(self) -> None:
        names = [metric.name for metric in task().metrics]
        assert names[:2] == ["area/miou", "area/pixel_accuracy"]
        assert "lanes/iou/lane" in names
        assert [m.name for m in task().sequence_metrics] == [
            "area/flicker", "area/flicker_excess", "lanes/flicker", "lanes/flicker_excess",
        ]  # fmt: skip

    def test_each_part_is_judged_by_its_own_task(self) -> None:
        made, single = task(), Config.model_validate(EXAMPLE.section).tasks["area"].create().accumulator()
        total = made.accumulator()
        prediction, truth = decoded(0)[0], decoded(1)[1]
        total.update(prediction, truth, "f")
        single.update(prediction["area"], truth["drivable"], "f")
        found = total.compute()
        assert {k: v for k, v in found.items() if k.startswith("area/")} == {
            f"area/{name}": value for name, value in single.compute().items()
        }

    def test_errors_name_the_task(self) -> None:
        made = task()
        with pytest.raises(
            SpecError, match=r"task\.tasks\.lanes\.output: .* 2 classes; .*correct task\.tasks\.lanes\."
        ):
            made.check_outputs([EXAMPLE.outputs[0], TensorSpec("lanes_logits", (1, 3, *SIZE))])
        outputs = EXAMPLE.frame(0)[1]
        with pytest.raises(TensorError, match=r"lanes: output 'lanes_logits' has shape"):
            made.decode(outputs | {"lanes_logits": outputs["area_logits"]}, place(SIZE, SIZE, "stretch"))
        with pytest.raises(DataError, match=r"area: no labelled pixel"):
            made.accumulator().compute()

    @pytest.mark.parametrize(
        ("truth", "message"),
        [
            (None, "sample 'f7': truth is nothing; expected a mapping with the parts drivable, lanes"),
            (np.zeros(SIZE, np.uint8), "sample 'f7': truth is ndarray; expected a mapping"),
            (
                {"drivable": 0, "lane": 0},
                r"sample 'f7': truth has no part 'lanes' for task\.tasks\.lanes; .*task\.truth; did you mean 'lane'\?",
            ),
            ({"drivable": None, "lanes": None}, "area: sample 'f7': has no truth"),
        ],
    )
    def test_truth_that_lacks_a_part(self, truth: object, message: str) -> None:
        with pytest.raises(DataError, match=message):
            task().accumulator().update(decoded(0)[0], truth, "f7")

    def test_flicker_of_every_part(self) -> None:
        made = task()
        before, after = decoded(0), decoded(1)
        found = made.flicker(before, after)
        own = made.tasks["area"].flicker(
            (before[0]["area"], before[1]["drivable"]), (after[0]["area"], after[1]["drivable"])
        )
        assert set(found) == {metric.name for metric in made.sequence_metrics}
        assert (found["area/flicker"], found["area/flicker_excess"]) == (own["flicker"], own["flicker_excess"])


class TestDraw:
    image = np.random.default_rng(1).integers(0, 256, (*SIZE, 3), np.uint8)

    def test_one_picture_with_one_title_a_pane_and_every_legend(self) -> None:
        made = task()
        prediction, truth = decoded(0)
        alone, beside = made.draw(self.image, prediction), made.draw(self.image, prediction, truth)
        single = made.tasks["area"].draw(self.image, prediction["area"], truth["drivable"])
        title = 20  # rows
        assert beside.shape[1] == single.shape[1] == 2 * SIZE[1] + 4
        np.testing.assert_array_equal(beside[:title], single[:title])
        # Perfect predictions: both panes show the same.
        np.testing.assert_array_equal(beside[title : title + SIZE[0], : SIZE[1]], alone[: SIZE[0]])
        np.testing.assert_array_equal(beside[title : title + SIZE[0], -SIZE[1] :], alone[: SIZE[0]])
        legends = [made.tasks[name].legend(SIZE[1], 0.4) for name in ("area", "lanes")]
        np.testing.assert_array_equal(alone[SIZE[0] :], np.concatenate(legends))

    def test_background_stays_clear_and_hides_no_other_task(self) -> None:
        prediction, _ = decoded(0)
        alone = task().draw(self.image, prediction)[: SIZE[0]]
        area, lanes = prediction["area"].labels, prediction["lanes"].labels
        np.testing.assert_array_equal(alone[(area == 0) & (lanes == 0)], self.image[(area == 0) & (lanes == 0)])
        drivable = (area == 1) & (lanes == 0)
        expected = self.image[drivable] / 2 + colours(("background", "drivable", "alternative"))[1] / 2
        assert np.abs(alone[drivable] - expected).max() <= 0.5

    @pytest.mark.parametrize("order", [("marks", "area"), ("area", "marks")])
    def test_areas_are_painted_first(self, order: tuple[str, str]) -> None:
        painted: list[str] = []

        class Spy:
            labelled, against_control = True, False

            def __init__(self, name: str, covers: bool) -> None:
                self.name, self.covers = name, covers

            def paint(self, image: Array, shown: object) -> Array:
                painted.append(self.name)
                return image

        spies: Any = {name: Spy(name, name == "area") for name in order}
        MultiTask(spies, {name: name for name in order}).paint(self.image, dict.fromkeys(order, 0))
        assert painted == ["area", "marks"]

    def test_a_truth_whose_parts_have_the_names_of_other_tasks(self) -> None:
        made = task(truth={"area": "lanes", "lanes": "area"})
        prediction, truth = decoded(0, made)
        swapped = {"lanes": truth["drivable"], "area": truth["lanes"]}
        panes = made.draw(self.image, prediction, swapped)[20 : 20 + SIZE[0]]
        np.testing.assert_array_equal(panes[:, : SIZE[1]], panes[:, -SIZE[1] :])
