"""A stage's key covers all that decides its result, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from edgekit import engine
from edgekit.core import sources
from edgekit.core.errors import EnvironmentFault, ModelError
from edgekit.core.sources import Sources
from edgekit.core.spec import ModelConfig
from edgekit.core.specfile import read_spec
from edgekit.core.workspace import Stage, Traced, Workspace, key_of
from edgekit.engine import ort
from edgekit.onnxfile.graph import external_files
from edgekit.pipeline import SILENT
from edgekit.stages import build, export, keys, steps
from edgekit.stages.compressed import Compressed
from tests.support.projects import write_frames

SPEC = """\
name: rich
model:
  factory: models/net.py:build
  args: {channels: 8, config: net.json}
  weights: weights.pth
  inputs: {image: {shape: [1, 3, 32, 48]}}
  outputs: [logits]
preprocess:
  image: {resize: [32, 48], scale: 0.00392156863}
task: {kind: segmentation, output: logits, classes: [floor, red, green], ignore_index: 255}
data:
  calibration: {format: image_mask, images: data/images, masks: data/masks, limit: 6}
  validation: {format: image_mask, images: data/images, masks: data/masks, limit: 4}
compress:
  - quantize: {method: mixed, max_drop: 0.1}
targets:
  cpu: {engine: ort, threads: 1}
"""
NET = """
import json
import os
from pathlib import Path

import torch
from torch import nn

from layers.blocks import activation

ROOT = Path(__file__).parent.parent


def build(channels, config):
    gain = json.loads((ROOT / config).read_text())["gain"] * float(os.environ.get("GAIN", "1"))
    gain *= len(list((ROOT / "heads").glob("*.txt"))) * float(torch.load(ROOT / "own.pth"))
    first = nn.Conv2d(3, channels, 3, padding=1)
    first.weight.register_hook(lambda g: g)
    net = nn.Sequential(first, activation(), nn.Conv2d(channels, 3, 1))
    net.register_buffer("gain", torch.tensor(gain))
    return net if gain == 2 else nn.Sequential(*net, nn.Hardtanh(-gain, gain))
"""


def write_rich(root: Path) -> Path:
    """A project whose factory reads files, a folder and a variable, and imports from elsewhere."""
    import torch
    from torch import nn

    for folder, name, text in (
        ("models", "net.py", NET),
        ("layers", "blocks.py", "from torch import nn\n\n\ndef activation():\n    return nn.ReLU()\n"),
        ("heads", "a.txt", ""),
        ("heads", "b.txt", ""),
        (".", "net.json", '{"gain": 1}'),
        (".", "edgekit.yaml", SPEC),
    ):
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / name).write_text(text)
    torch.save(torch.tensor(1.0), root / "own.pth")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1))
    torch.save({**net.state_dict(), "gain": torch.tensor(2.0)}, root / "weights.pth")
    write_frames(root / "data")
    return root


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, exported once; copy it."""
    root = write_rich((tmp_path_factory.mktemp("rich") / "project").resolve())
    spec = read_spec(root)
    frames = export.calibration_data(spec)
    export.export_model(spec, Workspace(root / ".edgekit"), frames, SILENT)
    return root


class Peek(Workspace):
    """Computes keys and runs nothing: what the export used is looked at again."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.keys: dict[str, str] = {}

    def stage(self, name: str, inputs: Mapping[str, Any], fill: Callable[[Path], None]) -> Stage:
        self.keys[name] = key_of(json.loads(json.dumps(dict(inputs), default=str)))
        return Stage(self.root, self.keys[name], True, 0.0, name)

    def traced(self, name: str, inputs: Mapping[str, Any], base: Path, run: Callable[[Path], Traced]) -> Stage:
        (kept,) = self.root.glob("export-*.json")
        used = Sources.from_dict(json.loads(kept.read_text())["runs"][0])
        now = Sources({item: sources.look(item, base) for item in used.items})
        self.keys[name] = key_of(json.loads(json.dumps({**inputs, "sources": now.content()}, default=str)))
        (folder,) = (path for path in self.root.glob("export-*") if path.is_dir())
        return Stage(folder, "the same", True, 0.0, name, inputs)


def keys_of(root: Path) -> dict[str, str]:
    spec = read_spec(root)
    backend = engine.backend(spec.targets["cpu"])
    peek, frames = Peek(root / ".edgekit"), export.calibration_data(spec)
    exported = export.export_model(spec, peek, frames, SILENT)
    start = steps.Point.of(spec, exported)
    steps.run_step(steps.Chain("cpu", backend, peek, start, frames, SILENT), start, spec.compress[0])
    variant = start.variant("fp32", start.model, start.golden, None, None)
    made = Compressed(root, "cpu", {"fp32": variant}, "fp32", {}, exported, (exported,))
    build.build_engines(spec, "cpu", backend, made, peek, SILENT)
    return peek.keys


Change = Callable[[Path, pytest.MonkeyPatch, int], None]


def _text(name: str, old: str, new: str) -> Change:
    def change(root: Path, patch: pytest.MonkeyPatch, number: int) -> None:
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new.replace("@", str(number)), 1))

    return change


def _spec(old: str, new: str) -> Change:
    return _text("edgekit.yaml", old, new)


def _append(name: str) -> Change:
    def change(root: Path, patch: pytest.MonkeyPatch, number: int) -> None:
        with (root / name).open("ab") as file:
            file.write(f"\n# {number}\n".encode())

    return change


def _new(name: str) -> Change:
    return lambda root, patch, number: (root / name.replace("@", str(number))).touch()


def _frame(root: Path, patch: pytest.MonkeyPatch, number: int) -> None:
    image = cv2.imread(str(root / "data/images/f0.png"))
    image[number % 32, number % 48] ^= 255
    cv2.imwrite(str(root / "data/images/f0.png"), image)


def _patched(module: Any, name: str, value: Any) -> Change:
    return lambda root, patch, number: patch.setattr(module, name, value)


def _variable(root: Path, patch: pytest.MonkeyPatch, number: int) -> None:
    patch.setenv("GAIN", str(number + 2))


ORT = ort.Backend


def _control(root: Path, patch: pytest.MonkeyPatch, number: int) -> None:
    patch.setattr(ORT, "int8_control", "fp16")


def _exported(name: str) -> Change:
    """The same inputs led to another file: a network without a seed of its own, another PyTorch."""

    def change(root: Path, patch: pytest.MonkeyPatch, number: int) -> None:
        (file,) = (root / ".edgekit").glob(f"export-*/{name}")
        file.write_bytes(file.read_bytes() + b" ")

    return change


ALL = {"export", "quantize", "engine-cpu"}
CHANGES: dict[str, tuple[Change, set[str]]] = {
    "factory": (_append("models/net.py"), {"export"}),
    "imported code": (_append("layers/blocks.py"), {"export"}),
    "file that the factory opens": (_append("net.json"), {"export"}),
    "checkpoint that the factory loads": (_append("own.pth"), {"export"}),
    "folder that the factory lists": (_new("heads/@.txt"), {"export"}),
    "variable that the factory reads": (_variable, {"export"}),
    "weights": (_append("weights.pth"), {"export"}),
    "argument": (_spec("channels: 8", "channels: @"), {"export"}),
    "seed": (_spec("name: rich", "name: rich\nseed: 1@"), {"export", "quantize"}),
    "preprocess": (_spec("scale: 0.00392156863", "scale: 0.5@"), ALL),
    "frame": (_frame, ALL),
    "number of frames": (_spec("limit: 6", "limit: 5"), ALL),
    "validation frames": (_spec("limit: 4", "limit: 3"), {"quantize"}),
    "task": (_spec("classes: [floor", "classes: [flo@"), {"quantize", "engine-cpu"}),
    "step": (_spec("max_drop: 0.1", "max_drop: 0.2@"), {"quantize"}),
    "threads": (_spec("threads: 1", "threads: 2"), {"quantize", "engine-cpu"}),
    "profile": (_patched(ORT, "quantization_profile", lambda self: "tensorrt"), {"quantize"}),
    "control": (_control, {"quantize"}),
    "device": (_patched(ORT, "fingerprint", lambda self: {"engine": "other"}), {"quantize", "engine-cpu"}),
    "version of a tool": (_patched(keys, "tool_versions", lambda: {"numpy": "0"}), ALL),
    "edgekit's code": (_patched(keys, "own_code", lambda: "other"), ALL),
    "golden frames": (_patched(export, "GOLDEN_FRAMES", 3), {"export"}),
    "exported graph": (_exported("fp32.onnx"), {"quantize", "engine-cpu"}),
    "golden outputs": (_exported("golden.npz"), {"quantize", "engine-cpu"}),
    "limits of parity": (_spec("name: rich", "parity: {frames: @}\nname: rich"), {"engine-cpu"}),
    "settings of the sessions": (_patched(steps.sessions, "settings", lambda: {"threads": "9"}), {"quantize"}),
    "nothing": (lambda root, patch, number: None, set()),
    "a file that nobody reads": (_append("README.md"), set()),
    "the name of the file": (lambda root, patch, n: (root / "edgekit.yaml").rename(root / "other.yml") and None, set()),
    "KPI": (_spec("name: rich", "kpis: {miou: {min: 0.@}}\nname: rich"), set()),
}


@given(case=st.sampled_from(sorted(CHANGES)), number=st.integers(9, 99))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_change_of_an_input_changes_the_key_and_nothing_else_does(case: str, number: int, rich: Path) -> None:
    _check(case, number, rich)


@pytest.mark.parametrize("case", CHANGES)
def test_each_input_is_in_the_keys_of_its_stages(case: str, rich: Path) -> None:
    _check(case, 11, rich)


def _check(case: str, number: int, rich: Path) -> None:
    change, expected = CHANGES[case]
    copy = rich.parent / "elsewhere" / "deeper" / "project"
    shutil.rmtree(copy.parent.parent, ignore_errors=True)
    shutil.copytree(rich, copy)
    before = keys_of(rich)
    assert keys_of(copy) == before  # on another path, with files of another day
    with pytest.MonkeyPatch.context() as patch:
        change(copy, patch, number)
        after = keys_of(copy)
    assert {name for name in ALL if after[name] != before[name]} == expected


# --- what a build does with it ---------------------------------------------------------------------------------------


def exported(root: Path, fresh: bool = False) -> Stage:
    spec = read_spec(root)
    frames = export.calibration_data(spec)
    return export.export_model(spec, Workspace(root / ".edgekit", fresh), frames, SILENT)


@pytest.fixture
def copy(rich: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(rich, tmp_path / "copy"))


def test_a_copy_on_another_path_reuses_the_export(copy: Path, rich: Path) -> None:
    assert exported(copy).reused
    assert exported(copy).key == exported(rich).key


def test_an_edit_elsewhere_is_exported_and_going_back_is_no_run(copy: Path) -> None:
    before = exported(copy)
    blocks = copy / "layers" / "blocks.py"
    text, times = blocks.read_text(), os.stat(blocks)
    blocks.write_text(text.replace("ReLU", "SiLU"))
    os.utime(blocks, ns=(times.st_atime_ns, times.st_mtime_ns))
    after = exported(copy)
    assert (after.reused, after.why, after.changed) == (False, "layers/blocks.py changed", ("layers/blocks.py",))
    assert b"Sigmoid" in (after.path / "fp32.onnx").read_bytes() or b"Swish" in (after.path / "fp32.onnx").read_bytes()
    blocks.write_text(text)
    assert exported(copy).path.name == before.path.name
    assert exported(copy).reused


def test_a_comment_runs_the_factory_and_nothing_else(copy: Path) -> None:
    before = exported(copy)
    with (copy / "models" / "net.py").open("a") as file:
        file.write("# a comment\n")
    after = exported(copy)
    assert not after.reused
    assert [(after.path / name).read_bytes() for name in ("fp32.onnx", "golden.npz")] == [
        (before.path / name).read_bytes() for name in ("fp32.onnx", "golden.npz")
    ]


def test_what_was_read_unseen_makes_the_factory_run_again_and_its_digest_decides(copy: Path) -> None:
    net = copy / "models" / "net.py"
    net.write_text(net.read_text().replace("import json\n", "import json\nimport cv2\n"))
    first, second = exported(copy), exported(copy)
    assert (second.reused, second.same, second.key) == (False, True, first.key)
    assert "cv2 may open files unseen" in second.why


def test_fresh_distrusts_everything(copy: Path) -> None:
    stage = exported(copy, fresh=True)
    assert (stage.reused, stage.why) == (False, "--fresh")


def test_errors_exits_and_prints_of_the_users_code(copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    net = copy / "models" / "net.py"
    good = net.read_text()
    net.write_text(
        good.replace("    gain = json", "    print('to stdout')\n    raise ValueError('bad gain')\n    gain = json")
    )
    with pytest.raises(ModelError, match=r"models/net\.py:build: .*net\.py:\d+.*ValueError: bad gain"):
        exported(copy)
    net.write_text(good.replace("    gain = json", "    os._exit(7)\n    gain = json"))
    with pytest.raises(ModelError, match="ended with exit code 7 before it was done"):
        exported(copy)
    net.write_text(good.replace("    gain = json", "    os.kill(os.getpid(), 9)\n    gain = json"))
    with pytest.raises(EnvironmentFault, match="was ended by SIGKILL: memory may have run out"):
        exported(copy)
    assert "to stdout" not in capfd.readouterr().out
    assert not [path for path in (copy / ".edgekit").iterdir() if path.name.endswith(".partial")]


def test_an_unchanged_export_imports_no_torch(rich: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.stages.test_keys import exported;"
        "assert exported(Path(sys.argv[1])).reused; assert 'torch' not in sys.modules"
    )
    path = os.pathsep.join((str(Path(sources.__file__).parents[2]), str(Path(__file__).parents[2])))
    done = subprocess.run(
        [sys.executable, "-c", code, str(rich)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()


def test_tensors_outside_an_onnx_file_are_in_the_key(tmp_path: Path) -> None:
    def tensor(name: str, scale: float) -> onnx.TensorProto:
        return numpy_helper.from_array(np.full((4, 4), scale, np.float32), name)

    inner = helper.make_graph([], "inner", [], [], [tensor("deep", 1)])
    nodes = [
        helper.make_node("Constant", [], ["c"], value=tensor("constant", 1)),
        helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner),
    ]
    model = helper.make_model(helper.make_graph(nodes, "g", [], [], [tensor("weight", 1)]))
    places = {"weight": "a.bin", "constant": "b.bin", "deep": "sub/c.bin"}
    graphs = (model.graph, *(a.g for n in model.graph.node for a in n.attribute if a.HasField("g")))
    tensors = [t for g in graphs for t in g.initializer] + [model.graph.node[0].attribute[0].t]
    for found in tensors:
        found.data_location = TensorProto.EXTERNAL
        found.ClearField("raw_data")
        found.external_data.add(key="location", value=places[found.name])
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    assert external_files(tmp_path / "m.onnx") == ("a.bin", "b.bin", "sub/c.bin")
    config = ModelConfig(onnx=tmp_path / "m.onnx", inputs={"x": {"shape": [1]}}, outputs=("y",), base=tmp_path)
    (tmp_path / "a.bin").write_bytes(b"1")
    before = keys.model_files(config)
    (tmp_path / "a.bin").write_bytes(b"2")
    assert keys.model_files(config) != before
