"""Checkpoints as training code leaves them: the weights are found, chosen by the user, or refused with the way out."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from edgekit.core.errors import ModelError
from edgekit.core.spec import ModelConfig
from edgekit.model import safetensorfile
from edgekit.model.load import load_model

State = dict[str, torch.Tensor]
NET = """
    from torch import nn
    def build():
        return nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
"""
FEED = {"image": np.linspace(-1, 1, 12, dtype=np.float32).reshape(1, 3, 2, 2)}


def state(seed: int) -> State:
    generator = torch.Generator().manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    return {
        name: torch.rand(t.shape, generator=generator) + 0.5 if t.is_floating_point() else t
        for name, t in net.state_dict().items()
    }


RAW, EMA = state(1), state(2)


def outputs(weights: State) -> Any:
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)).eval()
    net.load_state_dict(weights)
    return net(torch.tensor(FEED["image"])).detach().numpy()


def behind(prefix: str, weights: State) -> State:
    return {prefix + name: value for name, value in weights.items()}


def trained(folder: Path, content: object, **keys: Any) -> Any:
    """Output of the network with the weights that are taken from a file of this content."""
    (folder / "model.py").write_text(NET.replace("\n    ", "\n"))
    torch.save(content, folder / "w.pth")
    return read(folder, folder / "w.pth", **keys)


def read(folder: Path, weights: Path, **keys: Any) -> Any:
    inputs = {"image": {"shape": [1, 3, 2, 2]}}
    given = {"factory": "model.py:build", "inputs": inputs, "outputs": ("out",), "base": folder, "weights": weights}
    return load_model(ModelConfig(**{**given, **keys})).run(FEED)["out"]


PARAMETERS = {name: value for name, value in EMA.items() if "running" not in name and "num" not in name}
OPTIMIZER = {"state": {0: {"exp_avg": torch.ones(2, 3, 1, 1)}}, "param_groups": [{"lr": 0.1}]}


@pytest.mark.parametrize(
    "content",
    [
        {"net": RAW},
        {"ema": {"module": RAW, "updates": 9000}, "epoch": 3},
        {"student": {"weights": RAW}, "optimizer": OPTIMIZER, "best": torch.tensor(0.5)},
        {"model": RAW, "ema": RAW, "optimizer": OPTIMIZER},  # the same values: no doubt
        {"model": RAW, "discriminator": {"0.weight": torch.ones(7, 3, 1, 1), "0.bias": torch.ones(7)}},
        {
            "0": {k[2:]: v for k, v in RAW.items() if k[0] == "0"},
            "1": {k[2:]: v for k, v in RAW.items() if k[0] == "1"},
        },
        RAW | {"ema_loss": torch.tensor(0.1)} and {"state_dict": RAW, "ema_loss": torch.tensor(0.1)},
        RAW | {"epoch": 4, "note": "best"},
        {"model": RAW, "args": argparse.Namespace(lr=0.1, out=Path("runs")), "best": np.float64(0.8)},
        {"model": RAW, "mean": np.array([0.4, 0.5]), "avg_loss": 0.3},
    ],
)
def test_weights_are_found_where_one_set_fits(tmp_path: Path, content: object) -> None:
    np.testing.assert_allclose(trained(tmp_path, content), outputs(RAW), rtol=1e-5)


@pytest.mark.parametrize(
    ("content", "raw", "averaged"),
    [
        ({"model": RAW, "ema": {"module": EMA, "updates": 9000}}, "model", "ema.module"),
        ({"state_dict": RAW, "state_dict_ema": EMA, "epoch": 299}, "state_dict", "state_dict_ema"),
        ({"student": RAW, "teacher": EMA}, "student", "teacher"),
        ({"net": {"raw": RAW, "swa": EMA}}, "net.raw", "net.swa"),
        ({"best": RAW, "last": EMA, "optimizer": OPTIMIZER}, "best", "last"),
        ({"ema": {"module": EMA}, "model": RAW}, "model", "ema.module"),
    ],
)
def test_two_sets_of_weights_are_named_and_a_key_chooses(
    tmp_path: Path, content: dict[str, Any], raw: str, averaged: str
) -> None:
    with pytest.raises(ModelError, match="2 sets of weights that fit the network and differ") as caught:
        trained(tmp_path, content)
    for key, weights in ((raw, RAW), (averaged, EMA)):
        assert f"weights_key: {key}" in str(caught.value)
        np.testing.assert_allclose(trained(tmp_path, content, weights_key=key), outputs(weights), rtol=1e-5)


def test_averaged_parameters_without_buffers_are_a_second_set_too(tmp_path: Path) -> None:
    content = {"model": RAW, "ema": {"shadow": PARAMETERS}}
    with pytest.raises(ModelError, match=r"ema\.shadow \(averaged: usually .*\) with weights_key: ema\.shadow"):
        trained(tmp_path, content)
    with pytest.raises(ModelError, match=r"missing: 1\.running_mean, 1\.running_var"):
        trained(tmp_path, content, weights_key="ema.shadow")


def test_averaged_parameters_without_names(tmp_path: Path) -> None:
    content = {"model": RAW, "ema": {"decay": 0.99, "shadow_params": list(PARAMETERS.values())}}
    with pytest.raises(ModelError, match=r"4 averaged tensors without names under 'ema\.shadow_params'"):
        trained(tmp_path, content)
    np.testing.assert_allclose(trained(tmp_path, content, weights_key="model"), outputs(RAW), rtol=1e-5)


def test_averaged_weights_in_the_same_state_dict(tmp_path: Path) -> None:
    content = {"state_dict": behind("model.", RAW) | behind("ema_model.module.", EMA)}
    with pytest.raises(ModelError, match=r"add strip_prefix: model\. or strip_prefix: ema_model\.module\."):
        trained(tmp_path, content)
    with pytest.raises(ModelError, match=r'model with ignore: \["ema_model\.module\.\*"\]; or .*ema_model\.module \('):
        trained(tmp_path, content, strip_prefix="model.")
    chosen = {"strip_prefix": "model.", "ignore": ("ema_model.module.*",)}
    np.testing.assert_allclose(trained(tmp_path, content, **chosen), outputs(RAW), rtol=1e-5)
    averaged = trained(tmp_path, content, strip_prefix="ema_model.module.")
    np.testing.assert_allclose(averaged, outputs(EMA), rtol=1e-5)
    by_key = trained(tmp_path, content, weights_key="state_dict.ema_model.module")
    np.testing.assert_allclose(by_key, outputs(EMA), rtol=1e-5)


def test_the_averaging_of_pytorch_itself(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    net.load_state_dict(EMA)
    content = {"model": RAW, "swa": torch.optim.swa_utils.AveragedModel(net).state_dict()}
    with pytest.raises(ModelError, match=r"swa\.module \(averaged.* with weights_key: swa and strip_prefix: module\."):
        trained(tmp_path, content)
    averaged = trained(tmp_path, content, weights_key="swa", strip_prefix="module.")
    np.testing.assert_allclose(averaged, outputs(EMA), rtol=1e-5)


def test_a_key_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no tensors under 'ema\.modul'; did you mean 'ema\.module'\? allowed: model"):
        trained(tmp_path, {"model": RAW, "ema": {"module": EMA}}, weights_key="ema.modul")
    with pytest.raises(ModelError, match="not below any key: leave weights_key out"):
        trained(tmp_path, RAW, weights_key="model")


LIGHTNING = {
    "state_dict": behind("model.", RAW) | {"criterion.pos_weight": torch.ones(11), "iou.confmat": torch.zeros(2, 2)},
    "pytorch-lightning_version": "2.4.0",
    "optimizer_states": [OPTIMIZER],
}


def test_what_a_trainer_keeps_beside_the_network(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ModelError, match=r"come after 'model\.': add strip_prefix: model\.$"):
        trained(tmp_path, LIGHTNING)
    with caplog.at_level(logging.WARNING):
        found = trained(tmp_path, LIGHTNING, strip_prefix="model.")
    np.testing.assert_allclose(found, outputs(RAW), rtol=1e-5)
    assert "2 tensors that do not begin with 'model.' are left out: criterion.pos_weight, iou.confmat" in caplog.text


def test_keys_without_the_prefix_that_the_network_has_are_its_own(tmp_path: Path) -> None:
    parts = {f"net.{name}" if name[0] == "0" else name: value for name, value in RAW.items()}
    np.testing.assert_allclose(trained(tmp_path, parts, strip_prefix="net."), outputs(RAW), rtol=1e-5)
    with pytest.raises(ModelError, match=r"hold '1\.bias' and 'net\.1\.bias', which become one name"):
        trained(tmp_path, parts | {"net.1.bias": torch.ones(2)}, strip_prefix="net.")


def test_counters_are_left_out_by_pattern(tmp_path: Path) -> None:
    counted = RAW | {"total_ops": torch.zeros(1), "0.total_ops": torch.zeros(1), "1.total_params": torch.zeros(1)}
    with pytest.raises(ModelError, match=r'3 unexpected: .* ignore: \["\*total_ops", "\*total_params"\]$'):
        trained(tmp_path, counted)
    found = trained(tmp_path, counted, ignore=("*total_ops", "*total_params"))
    np.testing.assert_allclose(found, outputs(RAW), rtol=1e-5)
    with pytest.raises(ModelError, match=r"ignore: no key of .* matches '\*flops'; the first keys are 0\.weight"):
        trained(tmp_path, counted, ignore=("*flops",))


def test_an_extra_head_is_offered_as_one_pattern(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r'leave the others out with ignore: \["aux\.\*"\]$'):
        trained(tmp_path, RAW | {"aux.0.weight": torch.ones(1), "aux.0.bias": torch.ones(1)})


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod.", "a.b.c."])
def test_the_whole_prefix_is_offered(tmp_path: Path, prefix: str) -> None:
    content = {"model": behind(prefix, RAW) | {"n_averaged": torch.tensor(3)}}
    with pytest.raises(ModelError, match=rf"add strip_prefix: {prefix.replace('.', '[.]')}$"):
        trained(tmp_path, content)
    np.testing.assert_allclose(trained(tmp_path, content, strip_prefix=prefix), outputs(RAW), rtol=1e-5)


def test_a_wrapped_network_meets_plain_names(tmp_path: Path) -> None:
    trained(tmp_path, RAW)
    wrapped = NET.replace("return nn.", "return nn.DataParallel(nn.").replace("(2))", "(2)))")
    (tmp_path / "wrapped.py").write_text(wrapped.replace("\n    ", "\n"))
    with pytest.raises(ModelError, match=r"begin with 'module\.' and those of the file do not: .*\(\.module\)"):
        read(tmp_path, tmp_path / "w.pth", factory="wrapped.py:build")


@pytest.mark.parametrize("key", ["weights_key", "strip_prefix", "ignore"])
def test_keys_of_a_weights_file_need_one(tmp_path: Path, key: str) -> None:
    value: Any = ("a",) if key == "ignore" else "a"
    (tmp_path / "model.py").write_text(NET.replace("\n    ", "\n"))
    config: dict[str, Any] = {"inputs": {"image": {"shape": [1, 3, 2, 2]}}, "outputs": ("out",), "base": tmp_path}
    with pytest.raises(ModelError, match=rf"model\.{key} needs model\.weights"):
        load_model(ModelConfig(factory="model.py:build", **config, **{key: value}))


# --- safetensors -----------------------------------------------------------------


def safetensors(tensors: dict[str, tuple[str, list[int], bytes]], length: int | None = None) -> bytes:
    """The format written from its description: https://huggingface.co/docs/safetensors/index#format ."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    body = b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(content)]}
        body += content
    text = json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + body


def test_safetensors(tmp_path: Path) -> None:
    trained(tmp_path, RAW)
    kinds = {torch.float32: "F32", torch.int64: "I64"}
    content = {n: (kinds[t.dtype], list(t.shape), t.numpy().tobytes()) for n, t in RAW.items()}
    (tmp_path / "w.safetensors").write_bytes(safetensors(content))
    np.testing.assert_allclose(read(tmp_path, tmp_path / "w.safetensors"), outputs(RAW), rtol=1e-5)


def test_safetensors_of_other_dtypes(tmp_path: Path) -> None:
    half = torch.tensor([1.5, -2.0, 3.0], dtype=torch.bfloat16)
    file = tmp_path / "w.safetensors"
    kinds = {"h": ("BF16", [3], half.view(torch.int16).numpy().tobytes()), "b": ("BOOL", [], b"\x01")}
    file.write_bytes(safetensors(kinds | {"none": ("F32", [0, 4], b"")}))
    found = safetensorfile.read(file)
    assert torch.equal(found["h"], half)
    assert (found["b"].dtype, bool(found["b"]), tuple(found["none"].shape)) == (torch.bool, True, (0, 4))


BROKEN: dict[str, Callable[[], bytes]] = {
    "truncated": lambda: safetensors({"0.weight": ("F32", [6], bytes(24))})[:-4],
    "header cut": lambda: safetensors({"0.weight": ("F32", [6], bytes(24))})[:40],
    "size and shape": lambda: safetensors({"0.weight": ("F32", [5], bytes(24))}),
    "negative": lambda: safetensors({"0.weight": ("F32", [-6], bytes(24))}),
    "unknown dtype": lambda: safetensors({"0.weight": ("F3", [6], bytes(24))}),
    "no offsets": lambda: (13).to_bytes(8, "little") + b'{"a": {"b":1}}',
    "a list": lambda: (9).to_bytes(8, "little") + b'{"a": [1]}'[:9] + b"}",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_damaged_safetensors(tmp_path: Path, kind: str) -> None:
    (tmp_path / "w.safetensors").write_bytes(BROKEN[kind]())
    trained(tmp_path, RAW)
    with pytest.raises(ModelError, match=r"are not a complete safetensors file .*; copy or download it again"):
        read(tmp_path, tmp_path / "w.safetensors")


def test_a_pointer_of_git_lfs(tmp_path: Path) -> None:
    trained(tmp_path, RAW)
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    (tmp_path / "w.pth").write_text(text)
    with pytest.raises(ModelError, match="a Git LFS pointer, not the file itself: fetch it with git lfs pull"):
        read(tmp_path, tmp_path / "w.pth")
