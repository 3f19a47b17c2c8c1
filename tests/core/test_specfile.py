"""Mistakes in edgekit.yaml: each names its line, the value, what is allowed and the nearest name."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from edgekit.core.errors import ModelError, SpecError
from edgekit.core.spec import Section, SpecPath
from edgekit.core.specfile import lines_of, read_model, read_spec
from tests.support.projects import SPEC


def _read(folder: Path, text: str) -> SpecError:
    path = folder / "edgekit.yaml"
    path.write_text(text)
    with pytest.raises(SpecError) as caught:
        read_spec(path)
    return caught.value


def _change(old: str, new: str) -> str:
    assert SPEC.count(old) == 1, f"{old!r} must occur once"
    return SPEC.replace(old, new)


def _line_of(text: str, part: str) -> int:
    (line,) = [i for i, content in enumerate(text.splitlines(), 1) if part in content]
    return line


UNKNOWN_KEYS = {
    "top level": ("name: tiny", "name: tiny\nsede: 1", "sede", "sede", "did you mean 'seed'?"),
    "nested": ("weights:", "wieghts:", "model.wieghts", "wieghts", "did you mean 'weights'?"),
    "task plugin": ("ignore_index", "ignore_idx", "task.ignore_idx", "ignore_idx", "did you mean 'ignore_index'?"),
    "data plugin": ("limit: 6", "limits: 6", "data.calibration.limits", "limits", "did you mean 'limit'?"),
    "engine plugin": ("threads: 1", "thread: 1", "targets.cpu.thread", "thread:", "did you mean 'threads'?"),
    "technique plugin": (
        "method: ptq",
        "method: ptq, calibratr: minmax",
        "compress.0.quantize.calibratr",
        "calibratr",
        "did you mean 'calibrator'?",
    ),
    "kpi": ("max: 1000", "maxi: 1, max: 1000", "kpis.latency_p50_ms.maxi", "maxi", "did you mean 'max'?"),
    "preprocess": ("resize: [32, 48]", "resize: [32, 48], colour: rgb", "preprocess.image.colour", "colour", "'color'"),
}


@pytest.mark.parametrize("case", UNKNOWN_KEYS)
def test_unknown_key(case: str, tmp_path: Path) -> None:
    old, new, place, marker, hint = UNKNOWN_KEYS[case]
    text = _change(old, new)
    message = str(_read(tmp_path, text))
    key = place.rpartition(".")[2]
    assert message.startswith(f"{tmp_path}/edgekit.yaml:{_line_of(text, marker)}: {place}: unknown key {key!r}; ")
    assert hint in message
    assert "allowed: " in message or "(one of " in message


def test_an_unknown_plugin_key_lists_that_plugins_keys_only(tmp_path: Path) -> None:
    message = str(_read(tmp_path, _change("ignore_index", "ignore_idx")))
    assert message.endswith("allowed: kind, output, threshold, classes, ignore_index")


WRONG_VALUES = {
    "literal": (
        "resize: [32, 48]",
        "resize: [32, 48], mode: strech",
        (
            "preprocess.image.mode: expected 'stretch', 'letterbox', 'letterbox-topleft' or 'crop' "
            "(did you mean 'stretch'?); found 'strech'"
        ),
    ),
    "literal of a plugin": (
        "method: ptq",
        "method: ptq, calibrator: percentil",
        (
            "compress.0.quantize.calibrator: expected 'minmax', 'percentile', 'entropy' or 'mse' "
            "(did you mean 'percentile'?); found 'percentil'"
        ),
    ),
    "type": ("threads: 1", "threads: many", "targets.cpu.threads: expected a whole number; found 'many'"),
    "range": ("threads: 1", "threads: 0", "targets.cpu.threads: expected 1 or more; found 0"),
    "infinite": ("max: 1000", "max: .inf", "kpis.latency_p50_ms.max: expected a finite number; found inf"),
    "class names": ("[floor, red, green]", "[red, red]", "task.classes: the class name 'red' is there twice"),
    "empty kpi": ("{max: 1000}", "{}", "kpis.latency_p50_ms: a KPI needs a limit: min, max or max_drop"),
    "name": (
        "name: tiny",
        "name: a/b",
        "name: expected letters, digits, '.', '_' and '-', a letter or digit first, such as camvid-seg; found 'a/b'",
    ),
    "fraction": (
        "max: 1000",
        "max: 1/255",
        "kpis.latency_p50_ms.max: expected a number: write 0.00392156863; found '1/",
    ),
    "no number": ("max: 1000", "max: 1/0", "kpis.latency_p50_ms.max: expected a number; found '1/0'"),
    "target name": ("cpu: {engine", "a/b: {engine", "targets.a/b: 'a/b' becomes a folder's name; use letters"),
    "not a section": ("{max: 1000}", "30", "kpis.latency_p50_ms: expected a mapping, {key: value}; found 30"),
}


@pytest.mark.parametrize("case", WRONG_VALUES)
def test_wrong_value(case: str, tmp_path: Path) -> None:
    old, new, expected = WRONG_VALUES[case]
    text = _change(old, new)
    line = _line_of(SPEC, old)
    assert str(_read(tmp_path, text)).startswith(f"{tmp_path}/edgekit.yaml:{line}: {expected}")


def test_a_value_is_named_once(tmp_path: Path) -> None:
    message = str(_read(tmp_path, _change("engine: ort, threads: 1", "engine: trt, device: orin-agx")))
    assert message.startswith(f"{tmp_path}/edgekit.yaml:16: targets.cpu.device: 'orin-agx' is unknown; did you mean ")
    assert message.count("'orin-agx'") == 1
    assert message.count("device: ") == 1


PLUGIN_NAMES = {
    "engine": ("engine: ort", "engine: ortt", "targets.cpu: engine: 'ortt' is unknown; did you mean 'ort'? allowed: "),
    "task": ("kind: segmentation", "kind: segmentaton", "task: kind: 'segmentaton' is unknown; did you mean 'seg"),
    "technique": ("method: ptq", "method: ptk", "compress.0.quantize: method: 'ptk' is unknown; did you mean 'ptq'?"),
    "data": (
        "evaluation: {format: image_mask",
        "evaluation: {format: image-mask",
        "data.evaluation: format: 'image-mask' is unknown; did you mean 'image_mask'? (one of ",
    ),
    "missing": ("kind: segmentation, ", "", "task: the key 'kind' is missing; allowed values: "),
    "not a mapping": ("{engine: ort, threads: 1}", "ort", "targets.cpu: expected a mapping with the key 'engine'"),
}


@pytest.mark.parametrize("case", PLUGIN_NAMES)
def test_unknown_plugin(case: str, tmp_path: Path) -> None:
    old, new, expected = PLUGIN_NAMES[case]
    text = _change(old, new)
    assert str(_read(tmp_path, text)).startswith(f"{tmp_path}/edgekit.yaml:{_line_of(SPEC, old)}: {expected}")


@pytest.mark.parametrize(
    ("old", "place", "line"),
    [
        ("name: tiny\n", "name", 1),
        ("  outputs: [logits]\n", "model.outputs", 2),
        ("output: logits, ", "task.output", 9),
    ],
)
def test_missing_key_points_at_its_section(old: str, place: str, line: int, tmp_path: Path) -> None:
    error = _read(tmp_path, _change(old, ""))
    assert str(error) == f"{tmp_path}/edgekit.yaml:{line}: {place}: this key is missing"


def test_all_mistakes_are_listed(tmp_path: Path) -> None:
    text = _change("threads: 1", "threads: 0").replace("ignore_index", "ignore_idx") + "sed: 1\n"
    error = _read(tmp_path, text)
    found = {tuple(problem.removeprefix(f"{tmp_path}/edgekit.yaml:").split(": ")[:2]) for problem in error.problems}
    assert found == {("16", "targets.cpu.threads"), ("9", "task.ignore_idx"), ("20", "sed")}
    assert str(error) == error.problems[0] + " (and 2 more)"


def test_missing_file_names_the_command_that_writes_one(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"none\.yaml: no such file; write one with: edgekit init"):
        read_spec(tmp_path / "none.yaml")


def test_a_folder_means_the_spec_in_it(tmp_path: Path) -> None:
    (tmp_path / "edgekit.yaml").write_text(SPEC)
    assert read_spec(tmp_path).name == "tiny"
    (tmp_path / "sub").mkdir()
    with pytest.raises(SpecError, match=re.escape(f"{tmp_path / 'sub' / 'edgekit.yaml'}: no such file")):
        read_spec(tmp_path / "sub")


@pytest.mark.parametrize("name", ["edgekit.yml", "camvid_int8.yaml", "Other.YML"])
def test_a_folder_means_its_only_spec_whatever_its_name(name: str, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {}\nmodel: 1\n")
    (tmp_path / "notes.yml").write_bytes(b"\xff\xfe\xff")
    (tmp_path / name).write_text(SPEC)
    assert read_spec(tmp_path).name == "tiny"
    with pytest.raises(SpecError, match=rf"edgekit\.yaml: no such file; .*{re.escape(name)}"):
        read_spec(tmp_path / "edgekit.yaml")


def test_of_several_specs_one_has_to_be_named(tmp_path: Path) -> None:
    for name in ("fp32.yaml", "int8.yaml"):
        (tmp_path / name).write_text(SPEC)
    with pytest.raises(SpecError, match=r"holds 2 specs, fp32\.yaml, int8\.yaml; name one of them"):
        read_spec(tmp_path)
    with pytest.raises(SpecError, match=r"intt8\.yaml: no such file; did you mean 'int8\.yaml'\?"):
        read_spec(tmp_path / "intt8.yaml")
    (tmp_path / "edgekit.yaml").write_text(SPEC)
    assert read_spec(tmp_path).name == "tiny"


BROKEN_YAML = {
    "unclosed": (_change("threads: 1}", "threads: 1"), 17, "not valid YAML: expected ',' or '}'"),
    "tab": (_change("  factory", "\tfactory"), 3, "not valid YAML: found character '\\t'"),
    "duplicate key": (SPEC + "name: again\n", 20, 'not valid YAML: found duplicate key "name" with value "again"'),
    "nested duplicate": (
        _change("threads: 1", "threads: 1, threads: 2"),
        16,
        'not valid YAML: found duplicate key "thr',
    ),
    "two documents": (SPEC + "---\nname: b\n", 20, "not valid YAML: "),
    "list": ("- name: tiny\n", 1, "expected a mapping with the keys name, model, preprocess, task"),
    "empty": ("", 1, "expected a mapping with the keys name, model"),
    "text": ("hello\n", 1, "expected a mapping with the keys name, model"),
}


@pytest.mark.parametrize("case", BROKEN_YAML)
def test_not_a_yaml_mapping(case: str, tmp_path: Path) -> None:
    text, line, expected = BROKEN_YAML[case]
    assert str(_read(tmp_path, text)).startswith(f"{tmp_path}/edgekit.yaml:{line}: {expected}")


def test_not_text(tmp_path: Path) -> None:
    path = tmp_path / "edgekit.yaml"
    path.write_bytes(b"name: \xff\xfe\n")
    with pytest.raises(SpecError, match="cannot be read as UTF-8 text"):
        read_spec(path)
    path.write_bytes(b"name: a\x00b\n")
    with pytest.raises(SpecError, match="not valid YAML: unacceptable character #x0000"):
        read_spec(path)


def test_yaml_tags_create_no_objects(tmp_path: Path) -> None:
    marker = tmp_path / "made"
    path = tmp_path / "edgekit.yaml"
    path.write_text(_change("name: tiny", f"name: !!python/object/apply:os.mkdir [{marker}]"))
    with pytest.raises(SpecError):
        read_spec(path)
    assert not marker.exists()


def test_environment_variables_expand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAMES", "/data/frames")
    monkeypatch.setenv("NAME", "from-env")
    monkeypatch.delenv("ABSENT", raising=False)
    text = SPEC.replace("data/images", "$FRAMES/images").replace("name: tiny", "name: ${NAME}")
    text = text.replace("weights.pth", "${ABSENT:-other}.pth")
    (tmp_path / "edgekit.yaml").write_text(text)
    spec = read_spec(tmp_path)
    assert spec.name == "from-env"
    assert spec.data.evaluation.images == Path("/data/frames/images")
    assert spec.model.weights == tmp_path / "other.pth"


def test_an_expanded_value_is_checked_as_if_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THREADS", "none")
    error = _read(tmp_path, _change("threads: 1", "threads: $THREADS"))
    assert str(error).endswith("found 'none'")
    monkeypatch.setenv("THREADS", "2")
    assert read_spec(tmp_path).targets["cpu"].threads == 2


def test_unset_variable_names_its_line_and_both_fixes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ABSENT", raising=False)
    error = _read(tmp_path, _change("weights.pth", "$ABSENT/weights.pth"))
    assert str(error) == (
        f"{tmp_path}/edgekit.yaml:4: environment variable ABSENT is not set; export it or write ${{ABSENT:-default}}"
    )


def test_relative_paths_start_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    (tmp_path / "edgekit.yaml").write_text(SPEC.replace("weights.pth", "/abs/weights.pth"))
    spec = read_spec(tmp_path / "edgekit.yaml")
    assert spec.base == tmp_path.resolve()
    assert spec.data.calibration.masks == tmp_path / "data" / "masks"
    assert spec.model.weights == Path("/abs/weights.pth")


def test_a_spec_named_without_a_folder_has_a_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "edgekit.yaml").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    assert read_spec(Path("edgekit.yaml")).base == tmp_path.resolve()


def test_class_names_from_a_file_beside_the_spec(tmp_path: Path) -> None:
    text = _change("[floor, red, green]", "classes.json")
    assert "classes.json: no such file" in str(_read(tmp_path, text))
    (tmp_path / "classes.json").write_text(json.dumps({"names": ["a", "b"]}))
    assert read_spec(tmp_path).task.classes == ("a", "b")


def test_model_base_is_not_the_users(tmp_path: Path) -> None:
    error = _read(tmp_path, _change("  factory:", "  base: /tmp\n  factory:"))
    assert str(error).startswith(f"{tmp_path}/edgekit.yaml:3: model.base: unknown key 'base'; ")
    assert "base" not in str(error).partition("allowed: ")[2]


MISFITS = {
    "size": (
        "resize: [32, 48]",
        "resize: [32, 40]",
        8,
        "preprocess.image.resize: 32x40 in nchw makes [1, 3, 32, 40], but model.inputs.image.shape is [1, 3, 32, 48]",
    ),
    "layout": ("scale: 0", "layout: nhwc, scale: 0", 8, "preprocess.image.resize: 32x48 in nhwc makes [1, 32, 48, 3]"),
    "unknown input": (
        "  image: {resize",
        "  imag: {resize",
        8,
        "preprocess.imag: no model input 'imag'; did you mean 'im",
    ),
    "input without preprocess": (
        "inputs: {image: {shape: [1, 3, 32, 48]}}",
        "inputs: {image: {shape: [1, 3, 32, 48]}, depth: {shape: [1]}}",
        5,
        "model.inputs.depth: this input has no entry under preprocess",
    ),
    "kpi target": (
        "max: 1000",
        "max: 1000, target: cup",
        19,
        "kpis.latency_p50_ms.target: 'cup' is no target; did you mean 'cpu'? allowed: cpu",
    ),
    "two sources": (
        "  weights: weights.pth",
        "  onnx: m.onnx",
        2,
        "model: give exactly one of factory, exported, onnx; found factory, onnx",
    ),
    "weights without factory": (
        "  factory: model.py:build",
        "  onnx: m.onnx",
        2,
        "model: weights, weights_key, strip_prefix, ignore and args belong to a factory; onnx holds its own weights",
    ),
    "outputs twice": ("outputs: [logits]", "outputs: [logits, logits]", 2, "model: outputs has a name twice: logits"),
    "factory form": (
        "model.py:build",
        "model.py",
        3,
        "model.factory: expected 'file.py:callable' or 'package.module:callable'; found 'model.py'",
    ),
    "frames for evaluation only": (
        "calibration: {format: image_mask, images: data/images, masks: data/masks, limit: 6}",
        "calibration: {format: rendered, scenes: hard, count: 6}",
        11,
        "data.calibration: these frames are kept for data.evaluation; choose others here",
    ),
    "pins": ("threads: 1", "threads: 2, pin: [0]", 16, "targets.cpu: pin names 1 CPUs for 2 threads; give one CPU"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_parts_that_do_not_fit_together(case: str, tmp_path: Path) -> None:
    old, new, line, expected = MISFITS[case]
    assert str(_read(tmp_path, _change(old, new))).startswith(f"{tmp_path}/edgekit.yaml:{line}: {expected}")


class _Plan(Section):
    """Another file of a user's."""

    board: str
    folder: SpecPath


def test_other_files_are_read_with_the_same_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOARD", "orin")
    path = tmp_path / "plan.yaml"
    path.write_text("board: $BOARD\nfolder: here\n")
    assert read_model(path, _Plan) == _Plan(board="orin", folder=tmp_path / "here")
    path.write_text("board: 1\nfoldr: here\n")
    with pytest.raises(SpecError) as caught:
        read_model(path, _Plan)
    assert caught.value.problems == (
        f"{path}:1: board: expected a text, in quotes: '1'",
        f"{path}:1: folder: this key is missing",
        f"{path}:2: foldr: unknown key 'foldr'; did you mean 'folder'? allowed: board, folder",
    )
    path.write_text("- a\n")
    with pytest.raises(SpecError, match=r"plan\.yaml:1: expected a mapping with the keys board, folder"):
        read_model(path, _Plan)
    with pytest.raises(SpecError, match=r"gone\.yaml: cannot be read as UTF-8 text: .*; name a YAML file"):
        read_model(tmp_path / "gone.yaml", _Plan)


@pytest.mark.parametrize(("said", "marker"), [("model.weights: no file x", "weights:"), ("no output", "model:")])
def test_what_is_wrong_with_the_model_names_its_line(said: str, marker: str, tmp_path: Path) -> None:
    (tmp_path / "edgekit.yaml").write_text(SPEC)
    for given in (tmp_path, tmp_path / "edgekit.yaml"):
        with pytest.raises(ModelError) as caught, lines_of(given):
            raise ModelError(said)
        assert str(caught.value) == f"{tmp_path}/edgekit.yaml:{_line_of(SPEC, marker)}: {said}"


def test_a_spec_without_a_file_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "edgekit.yaml").write_text(SPEC)
    with pytest.raises(ModelError) as caught, lines_of(read_spec(tmp_path / "edgekit.yaml")):
        raise ModelError("model.weights: no file x")
    assert str(caught.value) == "model.weights: no file x"
