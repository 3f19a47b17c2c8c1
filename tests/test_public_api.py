"""The functions of ``edgekit``: the same whatever was imported before, and shadowed by no file."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgekit
import edgekit.pipeline

ROOT = Path(edgekit.__file__).parent


def _packages() -> Iterator[str]:
    yield "edgekit"
    for found in pkgutil.walk_packages([str(ROOT)], "edgekit."):
        if found.ispkg:
            yield found.name


@pytest.mark.parametrize("name", edgekit.__all__)
def test_every_name_is_a_documented_function(name: str) -> None:
    function = getattr(edgekit, name)
    assert callable(function)
    assert function.__doc__


def test_a_name_means_the_same_after_every_module_was_imported() -> None:
    code = (
        "import edgekit, importlib, pkgutil\n"
        "for name in [m.name for m in pkgutil.iter_modules(edgekit.__path__, 'edgekit.') if m.name[-2:] != '__']:\n"
        "    importlib.import_module(name)\n"
        "import edgekit.pipeline\n"
        "assert edgekit.gate is edgekit.pipeline.gate and edgekit.report is edgekit.pipeline.report\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'gates'"):
        edgekit.gates  # noqa: B018


@pytest.mark.parametrize("package", list(_packages()))
def test_no_file_is_called_like_a_function_that_its_package_hands_out(package: str) -> None:
    module = importlib.import_module(package)
    files = {found.name for found in pkgutil.iter_modules(module.__path__)}
    assert files & set(getattr(module, "__all__", ())) == set()
