"""A public model repository works as it is, and its mistakes are named by file and line."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.core.errors import ModelError
from edgekit.core.spec import ModelConfig
from edgekit.model.load import LoadedModel, load_model

FEED = {"x": np.ones((1, 2), np.float32)}
SCALED = """
    import torch
    class Scale(torch.nn.Module):
        def __init__(self, factor):
            super().__init__()
            self.factor = factor
        def forward(self, x):
            return x * self.factor
"""


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, code in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(textwrap.dedent(code))
    return root


def load(root: Path, factory: str = "model.py:build", **args: Any) -> LoadedModel:
    return load_model(
        ModelConfig(factory=factory, args=args, inputs={"x": {"shape": [1, 2]}}, outputs=("out",), base=root)
    )


def value(model: LoadedModel) -> float:
    return float(model.run(FEED)["out"][0, 0])


@pytest.fixture(autouse=True)
def no_traces() -> Any:
    """``sys.path`` is as before; modules of a test's folders go, as its files do."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    assert sys.path == path
    for name in set(sys.modules) - modules:
        if "pytest-" in str(getattr(sys.modules[name], "__file__", None) or getattr(sys.modules[name], "__path__", "")):
            del sys.modules[name]


BUILD = "def build(): return Scale(FACTOR)"
REPOSITORIES: dict[str, tuple[str, dict[str, str]]] = {
    "relative import beside a script": (
        "model.py:build",
        {"model.py": f"from .layers import Scale\nFACTOR = 3\n{BUILD}", "layers.py": SCALED},
    ),
    "relative import in a package": (
        "net/model.py:build",
        {
            "net/__init__.py": "",
            "net/model.py": f"from .layers import Scale\nFACTOR = 3\n{BUILD}",
            "net/layers.py": SCALED,
        },
    ),
    "relative import above the folder": (
        "net/model.py:build",
        {"net/model.py": f"from ..layers import Scale\nFACTOR = 3\n{BUILD}", "layers.py": SCALED},
    ),
    "a sibling imports above the folder": (
        "net/model.py:build",
        {
            "net/model.py": f"from .head import Scale\nFACTOR = 3\n{BUILD}",
            "net/head.py": "from ..layers import Scale",
            "layers.py": SCALED,
        },
    ),
    "the spec lies inside the package": (
        "model.py:build",
        {"__init__.py": "", "model.py": f"from .layers import Scale\nFACTOR = 3\n{BUILD}", "layers.py": SCALED},
    ),
    "sibling package": (
        "model.py:build",
        {
            "model.py": f"import utils\nfrom utils.blocks import Scale\nFACTOR = utils.N\n{BUILD}",
            "utils/__init__.py": "N = 3",
            "utils/blocks.py": SCALED,
        },
    ),
    "sibling folder without __init__": (
        "model.py:build",
        {"model.py": f"from blocks.scale import Scale\nFACTOR = 3\n{BUILD}", "blocks/scale.py": SCALED},
    ),
    "sibling of a script in a folder": (
        "net/model.py:build",
        {"net/model.py": f"from layers import Scale\nFACTOR = 3\n{BUILD}", "net/layers.py": SCALED},
    ),
    "one registry, imported in two ways": (
        "net/model.py:build",
        {
            "net/registry.py": "SEEN = {}",
            "net/layers.py": textwrap.dedent(SCALED) + "from net.registry import SEEN\nSEEN['scale'] = Scale\n",
            "net/model.py": "from . import layers\nfrom .registry import SEEN\ndef build(): return SEEN['scale'](3)",
        },
    ),
    "lazy relative import": (
        "model.py:build",
        {"model.py": "def build():\n    from .layers import Scale\n    return Scale(3)", "layers.py": SCALED},
    ),
    "package": (
        "my_net.model:build",
        {
            "my_net/__init__.py": "",
            "my_net/model.py": f"from .layers import Scale\nFACTOR = 3\n{BUILD}",
            "my_net/layers.py": SCALED,
        },
    ),
    "names of the standard library and of PyTorch": (
        "types.py:build",
        {
            "types.py": f"from .torch import Scale\nFACTOR = 3\n{BUILD}",
            "torch.py": "from .layers import Scale",
            "layers.py": "import sys\ntorch = sys.modules['torch']\n"
            + textwrap.dedent(SCALED).replace("import torch\n", ""),
        },
    ),
    "odd file name": (
        "net-v1.5/my-model.v2.py:build",
        {"net-v1.5/my-model.v2.py": f"from layers import Scale\nFACTOR = 3\n{BUILD}", "net-v1.5/layers.py": SCALED},
    ),
    "factory in __init__": (
        "net/__init__.py:build",
        {"net/__init__.py": f"from .layers import Scale\nFACTOR = 3\n{BUILD}", "net/layers.py": SCALED},
    ),
}


@pytest.mark.parametrize("name", REPOSITORIES)
def test_a_repository_works_as_it_is(tmp_path: Path, name: str) -> None:
    factory, files = REPOSITORIES[name]
    assert value(load(tree(tmp_path, files), factory)) == 3


def test_a_file_outside_the_folder_of_the_spec(tmp_path: Path) -> None:
    tree(tmp_path, {"spec/.keep": "", "net/model.py": f"from layers import Scale\nFACTOR = 5\n{BUILD}"})
    tree(tmp_path, {"net/layers.py": SCALED})
    assert value(load(tmp_path / "spec", "../net/model.py:build")) == 5


def test_a_folder_named_like_another_models_file(tmp_path: Path) -> None:
    tree(tmp_path / "one", {"net.py": f"{textwrap.dedent(SCALED)}FACTOR = 2\n{BUILD}"})
    tree(tmp_path / "two", {"net/model.py": f"from .layers import Scale\nFACTOR = 5\n{BUILD}", "net/layers.py": SCALED})
    one = load(tmp_path / "one", "net.py:build")
    assert [value(load(tmp_path / "two", "net/model.py:build")), value(one)] == [5, 2]


LAZY = """
    import torch, utils
    from layers import Scale
    class Lazy(Scale):
        def forward(self, x):
            from late import OFFSET
            return super().forward(x) + OFFSET
    def build(): return Lazy(utils.FACTOR)
"""


def lazy_files(factor: int, offset: int) -> dict[str, str]:
    return {"model.py": LAZY, "utils.py": f"FACTOR = {factor}", "layers.py": SCALED, "late.py": f"OFFSET = {offset}"}


def test_two_repositories_with_the_same_names_are_not_mixed_up(tmp_path: Path) -> None:
    one = load(tree(tmp_path / "one", lazy_files(2, 10)))
    two = load(tree(tmp_path / "two", lazy_files(3, 20)))
    assert [value(one), value(two), value(one)] == [12, 23, 12]


def test_two_folders_below_one_spec_are_not_mixed_up(tmp_path: Path) -> None:
    tree(tmp_path / "one", lazy_files(2, 10))
    tree(tmp_path / "two", lazy_files(3, 20))
    one, two = load(tmp_path, "one/model.py:build"), load(tmp_path, "two/model.py:build")
    assert [value(one), value(two), value(one)] == [12, 23, 12]


def test_a_module_of_the_caller_is_back_after_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path / "caller", {"utils.py": "FACTOR = 99"})
    monkeypatch.syspath_prepend(tmp_path / "caller")
    import utils

    model = load(tree(tmp_path / "one", lazy_files(2, 10)))
    assert value(model) == 12
    assert sys.modules["utils"] is utils
    monkeypatch.delitem(sys.modules, "utils")


CHECKOUT = """
    import sys
    def build(checkout):
        sys.path.insert(0, checkout)
        from model.scale import Late
        return Late()
"""


def a_checkout(root: Path, factor: int) -> str:
    late = f"""
        class Late(Scale):
            def __init__(self): super().__init__({factor})
            def forward(self, x):
                from model.late import OFFSET
                return super().forward(x) + OFFSET
    """
    files = {"model/scale.py": textwrap.dedent(SCALED) + textwrap.dedent(late), "model/late.py": "OFFSET = 10"}
    return str(tree(root, files))


def test_checkouts_with_the_same_package_and_a_file_of_its_name(tmp_path: Path) -> None:
    """Each on ``sys.path`` by a factory of the user's own, after a model.py was loaded."""
    before = load(tree(tmp_path / "before", lazy_files(2, 10)))
    tree(tmp_path / "spec", {"network.py": CHECKOUT})
    tree(tmp_path / "other", {"network.py": CHECKOUT})
    one = load(tmp_path / "spec", "network.py:build", checkout=a_checkout(tmp_path / "one", 3))
    two = load(tmp_path / "other", "network.py:build", checkout=a_checkout(tmp_path / "two", 4))
    third = load(tmp_path / "spec", "network.py:build", checkout=a_checkout(tmp_path / "third", 5))
    assert [value(m) for m in (one, two, before, third, one)] == [13, 14, 12, 15, 13]


def test_a_model_that_is_loaded_again_keeps_its_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "model", raising=False)  # of another test: its return would put this one's away
    checkout = a_checkout(tmp_path / "checkout", 3)
    tree(tmp_path / "spec", {"network.py": CHECKOUT})
    once, again = (load(tmp_path / "spec", "network.py:build", checkout=checkout).module for _ in range(2))
    assert once is not None
    assert again is not None
    assert type(once.get_submodule("network")) is type(again.get_submodule("network"))


def test_a_file_in_the_place_of_a_checkouts_package(tmp_path: Path) -> None:
    checkout = a_checkout(tmp_path / "checkout", 3)
    tree(tmp_path / "spec", {"model.py": CHECKOUT})
    with pytest.raises(
        ModelError, match=r"'model' is not a package: .*spec/model\.py has the name of that package; re"
    ):
        load(tmp_path / "spec", checkout=checkout)


def test_arguments(tmp_path: Path) -> None:
    tree(tmp_path, {"model.py": SCALED + "\n    def build(*, factor): return Scale(factor)"})
    assert value(load(tmp_path, factor=7)) == 7
    with pytest.raises(ModelError, match=r"model\.py:\d+: model\.args: no argument 'fac'; did you mean 'factor'\?"):
        load(tmp_path, fac=7)
    with pytest.raises(ModelError, match=r"model\.py:\d+: model\.args lacks factor, which has no default"):
        load(tmp_path)


MISTAKES = {
    "import": ("import torch\nimport no_such_package\n", r"model\.py:2 \(import no_such_package\): ModuleNot.*install"),
    "syntax": ("def build():\n    return (\n", r"model\.py:2 \(return \(\): SyntaxError"),
    "raise": ("def build():\n    raise ValueError('odd')", r"model\.py:2 \(raise .*\): ValueError: odd"),
    "exit": ("import sys\nsys.exit(1)", r"model\.py:2 \(sys\.exit\(1\)\): SystemExit"),
    "typo": ("def built(): pass\ndef other(): pass", r"no callable 'build' in model\.py; did you mean 'built'\?"),
    "empty": ("", r"no callable 'build' in model\.py: it defines no callable"),
    "value": ("build = 3", r"'build' in model\.py is int; expected a callable"),
    "type": ("def build(): return [1]", r"returned list; expected a torch\.nn\.Module"),
    "inside torch": (
        "import torch\ndef build():\n    return torch.nn.Conv2d(3, 4, 3, groups=2)",
        r"model\.py:3 \(return torch\.nn\.Conv2d.*\): ValueError: in_channels must be divisible by groups",
    ),
    "forward": (
        "import torch\nclass build(torch.nn.Module):\n    def forward(self, x):\n        return x @ x\n",
        r"failed on inputs x: float32\[1, 2\]: .*model\.py:4 \(return x @ x\): RuntimeError: mat1 and mat2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_by_file_and_line(tmp_path: Path, name: str) -> None:
    code, message = MISTAKES[name]
    (tmp_path / "model.py").write_text(code)
    with pytest.raises(ModelError, match=message) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None or name in {"typo", "empty", "value", "type"}


def test_a_missing_file_or_package(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("")
    with pytest.raises(ModelError, match=r"no file .*modle\.py; did you mean 'model\.py'\?"):
        load(tmp_path, "modle.py:build")
    with pytest.raises(ModelError, match="No module named 'no_such_package'"):
        load(tmp_path, "no_such_package.nets:build")
