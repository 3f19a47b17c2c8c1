"""Every name of TensorRT and CUDA that the engine modules use, against the recorded bindings of every version."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest
from tests.support import cuda_records, fake_trt
from tests.support.trt_usage import Program, Usage
from tests.support.trt_vocabulary import api_of, probed

from edgekit.engine import trt
from edgekit.engine.trt.cuda import NO_DRIVER

ENGINE = Path(trt.__file__).parent
CUDA = ("cuda-12.9", "cuda-13.5")


FILES = {"trt": ENGINE / "__init__.py"} | {
    path.stem: path for path in sorted(ENGINE.glob("*.py")) if path.stem not in ("__init__", "cuda")
}


@cache
def sources() -> dict[str, ast.Module]:
    return {module: ast.parse(path.read_text()) for module, path in FILES.items()}


@cache
def program(version: str) -> Program:
    made = Program(sources(), version)
    made.run()
    return made


def usage(version: str) -> Usage:
    return program(version).usage


def recorded_names() -> set[str]:
    """Methods and properties of TensorRT's objects whose name says that it is theirs: with an underscore."""
    found: set[str] = set()
    for version in fake_trt.VERSIONS:
        for each in fake_trt.record(version)["classes"].values():
            found |= {*each.get("methods", ()), *each.get("properties", ())}
    return {name for name in found if "_" in name.strip("_")}


@pytest.mark.parametrize("version", fake_trt.VERSIONS)
def test_every_name_exists_on_its_branch(version: str) -> None:
    assert usage(version).wrong == []


def test_nothing_escapes() -> None:
    """An attribute named like one of TensorRT's was given a type, so it was checked, in one version at least."""
    checked = {name.rpartition(".")[2] for version in fake_trt.VERSIONS for name in usage(version).used}
    nodes = [node for tree in sources().values() for node in ast.walk(tree)]
    written = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    ours = {"compute_capability"}  # of a target and of the facts, too
    assert (written & recorded_names()) - checked - ours == set()
    assert len(checked) > 80


def test_every_probe_is_true_somewhere() -> None:
    """``api.has`` of a misspelt name would be false for ever."""
    apis = [api_of(version) for version in fake_trt.VERSIONS]
    asked = probed(sources().values())
    assert asked
    for name in asked:
        assert any(api.has(name) for api in apis), f"api.has({name!r}): no recorded version has it"
        assert not all(api.has(name) for api in apis), f"api.has({name!r}): every recorded version has it; do not ask"


USED = sorted(
    {name for version in fake_trt.VERSIONS for name in usage(version).used if not name.endswith("__members__")}
)


@pytest.mark.parametrize("name", USED)
def test_a_misspelt_name_is_found(name: str) -> None:
    """Each name in turn is spelt wrong in the sources; some version must object."""
    last = name.rpartition(".")[2]
    version = next(version for version in fake_trt.VERSIONS if name in usage(version).used)
    changed = {module: _misspelt(module, last) for module in FILES}
    touched = {module for module, tree in changed.items() if tree is not sources()[module]}
    assert Program(changed, version).rerun(program(version), touched).wrong, f"{name} could be misspelt"


@cache
def words(module: str) -> set[str]:
    """Every name and text in a module."""
    return {value for node in ast.walk(sources()[module]) for value in vars(node).values() if isinstance(value, str)}


def _misspelt(module: str, name: str) -> ast.Module:
    if name not in words(module):
        return sources()[module]

    class Misspell(ast.NodeTransformer):
        def visit_Attribute(self, node: ast.Attribute) -> ast.Attribute:
            self.generic_visit(node)
            node.attr += "_wrong" * (node.attr == name)
            return node

        def visit_Constant(self, node: ast.Constant) -> ast.Constant:
            return ast.Constant(f"{name}_WRONG") if node.value == name and name.isupper() else node

        def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
            self.generic_visit(node)
            node.name += "_wrong" * (node.name == name)
            return node

    changed: ast.Module = Misspell().visit(ast.parse(FILES[module].read_text()))
    return changed


@pytest.mark.parametrize("version", CUDA)
def test_cuda_names_and_arguments(version: str) -> None:
    """What ``CudaPython`` calls is in cuda-bindings, with as many arguments."""
    recorded = fake_trt.record(version)
    tree = ast.parse((ENGINE / "cuda.py").read_text())
    python = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "CudaPython")
    chains = [_chain(node) for node in ast.walk(python) if isinstance(node, ast.Attribute)]
    used = {chain[2:] for chain in chains if chain[:2] == ("self", "_cuda") and len(chain) > 2}
    known = {*recorded["functions"], *recorded["classes"], *recorded["values"]}
    assert {chain[0] for chain in used} - known == set()
    for owner, member in (chain for chain in used if len(chain) == 2):
        assert member in recorded["classes"][owner]["members"]
    calls = [node for node in ast.walk(python) if isinstance(node, ast.Call)]
    checked = 0
    for call, chain in ((call, _chain(call.func)) for call in calls):
        if chain[:2] == ("self", "_cuda") and chain[2] in recorded["functions"]:
            assert len(call.args) == len(cuda_records.names(recorded["functions"][chain[2]][0])), chain
            checked += 1
    assert checked >= 15
    errors = recorded["classes"]["cudaError_t"]["members"]
    assert set(NO_DRIVER) <= set(errors)


def _chain(node: ast.AST) -> tuple[str, ...]:
    if isinstance(node, ast.Attribute):
        return (*_chain(node.value), node.attr)
    return (node.id,) if isinstance(node, ast.Name) else ()
