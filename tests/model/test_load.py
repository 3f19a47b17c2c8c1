"""Weights, inputs and outputs, .pt2 and ONNX files: what load_model takes and how it refuses."""

from __future__ import annotations

import pickle
import sys
import textwrap
from collections import namedtuple
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.core.errors import MissingRequirement, ModelError, TensorError
from edgekit.core.spec import ModelConfig
from edgekit.model import flatten
from edgekit.model.load import LoadedModel, load_model

IMAGE = {"image": {"shape": [1, 3, 8, 8]}}
FEED = {"image": np.linspace(-1, 1, 192, dtype=np.float32).reshape(1, 3, 8, 8)}

NET = """
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self, width=4):
            super().__init__()
            self.conv = nn.Conv2d(3, width, 3)
            self.bn = nn.BatchNorm2d(width)

        def forward(self, image):
            x = self.bn(self.conv(image))
            return x.mean((2, 3)) if not self.training else {"loss": x.sum()}

    def build(width=4):
        return Net(width)
"""


def config(base: Path, **given: Any) -> ModelConfig:
    if not {"factory", "onnx", "exported"} & set(given):
        given["factory"] = "model.py:build"
    return ModelConfig(**{"inputs": IMAGE, "outputs": ("out",), "base": base, **given})


def write(folder: Path, code: str, name: str = "model.py") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(textwrap.dedent(code))
    return file


@pytest.fixture
def net(tmp_path: Path) -> dict[str, torch.Tensor]:
    """The state_dict of the network in ``tmp_path/model.py``, with known values."""
    write(tmp_path, NET)
    generator = torch.Generator().manual_seed(0)
    state = {"conv.weight": torch.randn(4, 3, 3, 3, generator=generator), "conv.bias": torch.arange(4.0)}
    state |= {"bn.weight": torch.full((4,), 2.0), "bn.bias": torch.ones(4), "bn.running_mean": torch.zeros(4)}
    return state | {"bn.running_var": torch.ones(4), "bn.num_batches_tracked": torch.tensor(7)}


def expected_output(state: dict[str, torch.Tensor]) -> Any:
    conv = nn.functional.conv2d(torch.tensor(FEED["image"]), state["conv.weight"], state["conv.bias"])
    return (2.0 * conv / np.sqrt(1 + 1e-5) + 1.0).mean((2, 3)).numpy()


# --- weights -------------------------------------------------------------------


@pytest.mark.parametrize("key", [None, "state_dict", "model", "model_state_dict"])
def test_weights_are_used_in_eval_mode(tmp_path: Path, net: dict[str, torch.Tensor], key: str | None) -> None:
    torch.save(net if key is None else {"epoch": 3, key: net}, tmp_path / "w.pth")
    model = load_model(config(tmp_path, weights=tmp_path / "w.pth"))
    assert not any(module.training for module in model.module.modules())
    out = model.run(FEED)["out"]
    np.testing.assert_allclose(out, expected_output(net), rtol=1e-4, atol=1e-5)


def test_strip_prefix(tmp_path: Path, net: dict[str, torch.Tensor]) -> None:
    torch.save({"module." + key: value for key, value in net.items()}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"add strip_prefix: module\.$"):
        load_model(config(tmp_path, weights=tmp_path / "w.pth"))
    with pytest.raises(ModelError, match=r"no key of .* begins with 'net\.'; the first keys are module\.conv\.weight"):
        load_model(config(tmp_path, weights=tmp_path / "w.pth", strip_prefix="net."))
    out = load_model(config(tmp_path, weights=tmp_path / "w.pth", strip_prefix="module.")).run(FEED)["out"]
    np.testing.assert_allclose(out, expected_output(net), rtol=1e-4, atol=1e-5)


def test_strip_prefix_without_weights_is_refused(tmp_path: Path, net: object) -> None:
    with pytest.raises(ModelError, match=r"strip_prefix needs model\.weights"):
        load_model(config(tmp_path, strip_prefix="module."))


def test_a_second_prefix_is_suggested_with_the_first(tmp_path: Path, net: dict[str, torch.Tensor]) -> None:
    torch.save({"module.student." + key: value for key, value in net.items()}, tmp_path / "w.pth")
    with pytest.raises(ModelError, match=r"add strip_prefix: module\.student\.$"):
        load_model(config(tmp_path, weights=tmp_path / "w.pth", strip_prefix="module."))


def test_keys_that_do_not_fit_are_listed(tmp_path: Path, net: dict[str, torch.Tensor]) -> None:
    del net["bn.bias"]
    net["conv.weight"] = net["conv.weight"][:2]
    net |= {f"extra.{index}": torch.zeros(1) for index in range(11)}
    torch.save(net, tmp_path / "w.pth")
    with pytest.raises(ModelError) as caught:
        load_model(config(tmp_path, weights=tmp_path / "w.pth"))
    message = str(caught.value)
    assert "1 missing: bn.bias;" in message
    assert "11 unexpected: extra.0, " in message
    assert "extra.7 and 3 more;" in message
    assert "1 mis-shaped: conv.weight is [2, 3, 3, 3], expected [4, 3, 3, 3]" in message
    assert "strip_prefix" not in message


@pytest.mark.parametrize(
    ("key", "value", "refused"),
    [
        ("conv.weight", float("nan"), True),
        ("conv.bias", float("-inf"), True),
        ("bn.running_var", float("inf"), True),
        ("bn.bias", 1e30, False),
    ],
)
def test_weights_that_are_not_finite(
    tmp_path: Path, net: dict[str, torch.Tensor], key: str, value: float, refused: bool
) -> None:
    net[key].view(-1)[1] = value
    torch.save(net, tmp_path / "w.pth")
    if refused:
        with pytest.raises(ModelError, match=rf"w\.pth: 1 of \d+ values of '{key}' are NaN or Inf"):
            load_model(config(tmp_path, weights=tmp_path / "w.pth"))
    else:
        load_model(config(tmp_path, weights=tmp_path / "w.pth"))


def test_an_attention_mask_may_be_minus_infinity(tmp_path: Path) -> None:
    body = "super().__init__(); self.register_buffer('mask', torch.full((1,), float('-inf')))"
    write(
        tmp_path,
        f"""
        import torch
        class build(torch.nn.Module):
            def __init__(self): {body}
            def forward(self, x): return x.masked_fill(self.mask > 0, 0.0)
    """,
    )
    np.testing.assert_array_equal(load_model(config(tmp_path)).run(FEED)["out"], FEED["image"])


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.write_text, (self.mark, "pwned"))


def broken_weights(kind: str, path: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save(state, path)
    whole = path.read_bytes()
    contents = {"empty": b"", "html": b"<html>404</html>", "text": b"hello world" * 10, "truncated": whole[:-200]}
    if kind == "objects":
        torch.save({"state_dict": Payload(path.with_name("pwned"))}, path)
    elif kind == "module":
        torch.save(nn.Conv2d(1, 1, 1), path)
    elif kind == "script":
        torch.jit.save(torch.jit.script(nn.ReLU()), str(path))
    elif kind == "pickle":
        path.write_bytes(pickle.dumps({"weights": np.zeros(3)}))
    elif kind == "list":
        torch.save([1, 2], path)
    elif kind == "no tensors":
        torch.save({"log": {}, "epoch": 3}, path)
    elif kind == "missing":
        path.unlink()
    else:
        path.write_bytes(contents[kind])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.jit is deprecated, its files are around
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty", r"\(0 bytes\) are not a complete PyTorch file; copy or download it again"),
        ("html", "not a complete PyTorch file"),
        ("text", "not a complete PyTorch file"),
        ("truncated", "not a complete PyTorch file"),
        ("objects", r"hold more than tensors \(.*\), which is never unpickled; save them with torch\.save\(model"),
        ("module", r"hold more than tensors \(torch\.nn\.modules\.conv\.Conv2d\)"),
        ("script", "a TorchScript archive"),
        ("pickle", "hold more than tensors"),
        ("list", "hold list; expected a state_dict"),
        ("no tensors", "no state_dict: found keys log, epoch; expected tensors by name, or a state_dict under one of"),
        ("missing", "no file .*; a relative path starts at the folder of the spec"),
    ],
)
def test_weight_files_that_cannot_be_used(
    tmp_path: Path, net: dict[str, torch.Tensor], kind: str, message: str
) -> None:
    broken_weights(kind, tmp_path / "w.pth", net)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(config(tmp_path, weights=tmp_path / "w.pth"))
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "w.pth") in str(caught.value)
    assert not (tmp_path / "pwned").exists()


# --- inputs and outputs ----------------------------------------------------------


@dataclass
class Boxes:
    boxes: torch.Tensor
    scores: torch.Tensor
    masks: torch.Tensor | None = None


Pair = namedtuple("Pair", ["boxes", "scores"])
A, B, C = torch.zeros(1), torch.ones(2), torch.full((3,), 2.0)


@pytest.mark.parametrize(
    ("result", "names", "expected"),
    [
        (A, ("any",), [A]),
        ((A, B), ("x", "y"), [A, B]),
        ([A, (B, [C])], ("x", "y", "z"), [A, B, C]),
        ({"a": A, "b": B, "c": C}, ("c", "a"), [C, A]),
        ({"head": {"cls": A, "reg": B}, "aux": [C]}, ("reg", "aux.0", "head.cls"), [B, C, A]),
        (Boxes(A, B), ("scores", "boxes"), [B, A]),
        (Pair(A, B), ("scores",), [B]),
        ([{"boxes": A, "scores": B}], ("scores", "boxes"), [B, A]),
        ((A, {"aux": B, "none": None}), ("logits", "aux"), [A, B]),
        ((A, None), ("x",), [A]),
    ],
)
def test_outputs_are_flattened(result: Any, names: tuple[str, ...], expected: list[torch.Tensor]) -> None:
    picked = flatten.pick(result, names)
    assert len(picked) == len(expected)
    assert all(have is want for have, want in zip(picked, expected, strict=True))


@pytest.mark.parametrize(
    ("result", "names", "returned"),
    [
        ((A, B), ("x",), r"2 outputs \(0: float32\[1\], 1: float32\[2\]\), but model\.outputs lists x;"),
        (A, ("x", "y"), r"1 output \(float32\[1\]\)"),
        ({"a": A}, ("x",), r"1 output \(a: float32\[1\]\)"),
        (Boxes(A, B), ("boxes", "masks"), "boxes: float32"),
        ({"l": {"w": A}, "r": {"w": B}}, ("w",), r"l\.w: float32\[1\], r\.w"),
        ((A, {"aux": B}), ("aux", "logits"), r"1\.aux: float32\[2\]"),  # the order contradicts the name
        (None, ("x",), "returns nothing"),
        ({"n": 3}, ("n",), "'n' is not a tensor; the model returns 1 output"),
        ([A] * 14, ("x",), "and 2 more"),
    ],
)
def test_outputs_that_do_not_match(result: Any, names: tuple[str, ...], returned: str) -> None:
    with pytest.raises(ModelError, match=returned):
        flatten.pick(result, names)


def test_wrong_outputs_show_when_the_model_is_loaded(tmp_path: Path, net: object) -> None:
    with pytest.raises(ModelError, match=r"returns 1 output \(float32\[1, 4\]\), but model\.outputs lists a, b"):
        load_model(config(tmp_path, outputs=("a", "b")))


TWO = {"right": {"shape": [1, 2]}, "left": {"shape": [1, 2]}}
FEEDS = {"left": np.array([[5, 5]], np.float32), "right": np.array([[1, 2]], np.float32)}


@pytest.mark.parametrize(
    ("parameters", "expected"), [("left, right", [[4, 3]]), ("a, b", [[-4, -3]]), ("*args", [[-4, -3]])]
)
def test_inputs_go_by_keyword_or_in_the_order_of_the_spec(tmp_path: Path, parameters: str, expected: Any) -> None:
    body = "args[0] - args[1]" if parameters == "*args" else parameters.replace(",", " -")
    write(
        tmp_path,
        f"""
        import torch
        class build(torch.nn.Module):
            def forward(self, {parameters}): return {body}
    """,
    )
    out = load_model(config(tmp_path, inputs=TWO)).run(FEEDS)["out"]
    np.testing.assert_array_equal(out, expected)


def test_run_checks_feeds_and_leaves_them_alone(tmp_path: Path) -> None:
    write(
        tmp_path,
        """
        import torch
        class build(torch.nn.Module):
            def forward(self, x):
                x /= 2
                return x, x.to(torch.bfloat16), x.argmax()
    """,
    )
    model = load_model(config(tmp_path, outputs=("x", "half", "best")))
    feed = {"image": FEED["image"].copy()}
    out = model.run(feed)
    np.testing.assert_array_equal(feed["image"], FEED["image"])
    np.testing.assert_array_equal(out["x"], FEED["image"] / 2)
    assert (out["half"].dtype, out["best"].dtype, int(out["best"])) == (np.float32, np.int64, 191)
    with pytest.raises(TensorError, match="float64"):
        model.run({"image": FEED["image"].astype(np.float64)})
    with pytest.raises(TensorError, match="missing input 'image', unknown input 'img'"):
        model.run({"img": FEED["image"]})


def test_without_pytorch(tmp_path: Path, net: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingRequirement, match=r'PyTorch .* pip install "edgekit\[compress\]"'):
        load_model(config(tmp_path))


def test_a_loaded_model_has_one_source() -> None:
    with pytest.raises(ModelError, match="either"):
        LoadedModel((), ())
