"""Users' objects of all kinds: built where that is possible, else refused in one line, never a traceback."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from edgekit.core.errors import ModelError
from edgekit.core.spec import ModelConfig
from edgekit.model.export import export
from edgekit.model.load import LoadedModel, load_model

FEED = {"x": np.linspace(-1, 1, 12, dtype=np.float32).reshape(1, 3, 2, 2)}
START = """
    import dataclasses, functools, sys
    import torch
    from torch import nn
"""


def load(root: Path, code: str, outputs: tuple[str, ...] = ("out",)) -> LoadedModel:
    (root / "model.py").write_text(textwrap.dedent(START) + textwrap.dedent(code))
    inputs = {"x": {"shape": [1, 3, 2, 2]}}
    return load_model(ModelConfig(factory="model.py:build", inputs=inputs, outputs=outputs, base=root))


def exported(model: LoadedModel, folder: Path) -> Any:
    """Outputs of the exported file, computed by ONNX Runtime."""
    export(model, folder / "m.onnx")
    session = onnxruntime.InferenceSession(folder / "m.onnx", providers=["CPUExecutionProvider"])
    return session.run(None, FEED)


TAKEN = {
    "a generator": (
        """
        class build(nn.Module):
            def forward(self, x):
                yield x * 2
                yield x + 1
        """,
        ("a", "b"),
    ),
    "an iterator in a tuple": (
        """
        class build(nn.Module):
            def forward(self, x): return x * 2, map(lambda value: value + 1, [x])
        """,
        ("a", "b"),
    ),
    "None among outputs": (
        """
        class build(nn.Module):
            def forward(self, x): return None, x * 2, [None, x + 1]
        """,
        ("a", "b"),
    ),
    "a dataclass with a property that raises": (
        """
        @dataclasses.dataclass
        class Out:
            a: torch.Tensor
            b: torch.Tensor
            masks: object = None
            @property
            def boxes(self): raise RuntimeError("no boxes")
        class build(nn.Module):
            def forward(self, x): return Out(x * 2, x + 1)
        """,
        ("a", "b"),
    ),
    "work in place": (
        """
        class build(nn.Module):
            def forward(self, x):
                double = x * 2
                x.add_(1)
                return double, x
        """,
        ("a", "b"),
    ),
    "a forward without a signature": (
        """
        class Call:
            __signature__ = "odd"
            def __call__(self, x): return x * 2, x + 1
        class build(nn.Module):
            def __init__(self):
                super().__init__()
                self.forward = Call()
        """,
        ("a", "b"),
    ),
    "a partial as forward": (
        """
        class build(nn.Module):
            def __init__(self):
                super().__init__()
                self.forward = functools.partial(self.compute, 2)
            def compute(self, factor, x): return x * factor, x + 1
        """,
        ("a", "b"),
    ),
    "a train that returns nothing": (
        """
        class build(nn.Module):
            def train(self, mode=True): super().train(mode)
            def forward(self, x): return x * 2, x + 1
        """,
        ("a", "b"),
    ),
    "a repr and a property that raise": (
        """
        class build(nn.Module):
            def __repr__(self): raise RuntimeError("no repr")
            __str__ = __repr__
            @property
            def device(self): raise RuntimeError("no device")
            def forward(self, x): return x * 2, x + 1
        """,
        ("a", "b"),
    ),
    "a copy that is refused": (
        """
        class build(nn.Module):
            def __deepcopy__(self, memo): raise ValueError("do not copy")
            def forward(self, x): return x * 2, x + 1
        """,
        ("a", "b"),
    ),
    "an exported program's module": (
        """
        class Net(nn.Module):
            def forward(self, x): return x * 2, x + 1
        def build(): return torch.export.export(Net(), (torch.zeros(1, 3, 2, 2),)).module()
        """,
        ("a", "b"),
    ),
    "a script function inside": (
        """
        @torch.jit.script
        def double(x): return x * 2
        class build(nn.Module):
            def forward(self, x): return double(x), x + 1
        """,
        ("a", "b"),
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.jit
@pytest.mark.parametrize("kind", TAKEN)
def test_taken(tmp_path: Path, kind: str) -> None:
    code, outputs = TAKEN[kind]
    model = load(tmp_path, code, outputs)
    expected = [FEED["x"] * 2, FEED["x"] + 1]
    np.testing.assert_array_equal(list(model.run(FEED).values()), expected)
    np.testing.assert_array_equal(exported(model, tmp_path), expected)


def test_lazy_layers_get_their_sizes_from_a_call(tmp_path: Path) -> None:
    code = """
        def build(): return nn.Sequential(nn.LazyConv2d(2, 1), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(4))
    """
    model = load(tmp_path, code)
    (found,) = exported(model, tmp_path)
    assert found.shape == (1, 4)
    np.testing.assert_allclose(found, model.run(FEED)["out"], rtol=1e-5)
    assert all(not p.is_inference() for p in model.module.parameters())  # they can be trained


REFUSED = {
    "traced": (
        "def build(): return torch.jit.trace(nn.ReLU(), torch.zeros(1))",
        "returned a TorchScript module, which",
    ),
    "scripted": ("def build(): return torch.jit.script(nn.ReLU())", "returned a TorchScript module, which .* onnx:"),
    "scripted part": (
        "def build(): return nn.Sequential(nn.ReLU(), torch.jit.script(nn.Conv2d(3, 3, 1)))",
        "the part '1' of the network is a TorchScript module",
    ),
    "nothing": ("def build(): nn.ReLU()", r"returned NoneType; .*: does it end with return\?"),
    "class": ("def build(): return nn.ReLU", r"returned type; .*: return an object of it, ReLU\(\.\.\.\)"),
    "pair": ("def build(): return nn.ReLU(), 'transform'", r"returned tuple; .*: return its item 0 alone"),
    "dict": ("def build(): return {'net': nn.ReLU()}", r"returned dict; .*: return its item 'net' alone"),
    "program": (
        "def build(): return torch.export.export(nn.ReLU(), (torch.zeros(1),))",
        r"returned ExportedProgram; .*: write it with torch\.export\.save and name the file with exported:",
    ),
    "unreached lazy layer": (
        """
        class build(nn.Module):
            def __init__(self):
                super().__init__()
                self.spare = nn.LazyLinear(3)
            def forward(self, x): return x
        """,
        "a lazy layer of the network is not reached by forward",
    ),
    "lazy layer that fails": (
        "def build(): return nn.Sequential(nn.LazyConv2d(2, 9))",
        "first call, which gives lazy layers their sizes, failed.*Kernel size",
    ),
    "forward as a property that raises": (
        """
        class build(nn.Module):
            @property
            def forward(self): raise KeyError("forward")
        """,
        r"forward cannot be looked at: .*model\.py.*KeyError",
    ),
    "no forward": ("class build(nn.Module): pass", 'is missing the required "forward"'),
    "exit": (
        """
        class build(nn.Module):
            def forward(self, x): sys.exit(0)
        """,
        r"failed on inputs .*model\.py:\d+ .*SystemExit",
    ),
    "error whose text fails": (
        """
        class Odd(Exception):
            def __str__(self): raise RuntimeError("no text")
        class build(nn.Module):
            def forward(self, x): raise Odd
        """,
        r"failed on inputs .*model\.py:\d+ \(.*\): Odd$",
    ),
    "state_dict": (
        """
        class build(nn.Module):
            def state_dict(self, *args, **kwargs): raise RuntimeError("no state")
            def forward(self, x): return x
        """,
        r"model\.py:\d+ .*RuntimeError: no state",
    ),
    "numpy": (
        """
        class build(nn.Module):
            def forward(self, x): return x.numpy() + 1
        """,
        r"model output 'out' is numpy\.ndarray, which torch\.export cannot follow",
    ),
    "complex": (
        """
        class build(nn.Module):
            def forward(self, x): return torch.fft.fft(x)
        """,
        r"output 'out' is complex, .* torch\.view_as_real",
    ),
    "sparse": (
        """
        class build(nn.Module):
            def forward(self, x): return x.to_sparse()
        """,
        r"output 'out' is sparse or nested; return a dense tensor",
    ),
    "an object": (
        """
        class Out:
            def __init__(self, x): self.x = x
        class build(nn.Module):
            def forward(self, x): return Out(x)
        """,
        r"the model returns 1 output \(Out\), but model\.outputs lists out",
    ),
    "a list that holds itself": (
        """
        class build(nn.Module):
            def forward(self, x):
                out = [x]
                out.append(out)
                return out
        """,
        "RecursionError",
    ),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.jit
@pytest.mark.parametrize("kind", REFUSED)
def test_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    code, message = REFUSED[kind]
    with pytest.raises(ModelError, match=message) as caught:
        load(tmp_path, code)
    assert "\n" not in str(caught.value)
