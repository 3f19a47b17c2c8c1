"""A backend of a user's own: one file behind an entry point goes through the contract tests and the whole pipeline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgekit import engine
from edgekit.core import plugins
from edgekit.core.errors import InputError
from tests.support import shell, toy_engine
from tests.support.keeping_engine import install_engine

TESTS = Path(__file__).parents[1]


def installed(site: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str) -> None:
    """A backend that commands find too, which :mod:`tests.support.shell` runs."""
    install_engine(site, monkeypatch, name, module)
    path = os.pathsep.join((str(site), shell.ENVIRONMENT["PYTHONPATH"]))
    monkeypatch.setitem(shell.ENVIRONMENT, "PYTHONPATH", path)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The backend ``toy``, on the path of child processes."""
    installed(tmp_path / "site", monkeypatch, "toy", Path(toy_engine.__file__).read_text())


@pytest.mark.usefixtures("toy")
def test_the_contract_finds_it() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "toy", "-rs"]
    done = subprocess.run(
        [*command, str(TESTS / "contract" / "test_engines.py")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("toy")
def test_a_project_builds_with_it(tiny_project: Path) -> None:
    """INT8 and its FP32 control, proven by their outputs; nobody races where times say nothing."""
    file = tiny_project / "edgekit.yaml"
    file.write_text(file.read_text().replace("cpu: {engine: ort, threads: 1}", "cpu: {engine: toy}"))
    made = shell.edgekit("build", tiny_project, "--target", "cpu", "--json")
    assert made.returncode == 0, made.stderr
    told = json.loads(made.stdout)
    assert (told["precision"], told["verified"], told["race"], told["achieved"]) == ("int8", True, None, None)
    folder = Path(told["bundle"])
    reports = json.loads((folder / "parity.json").read_text())
    assert [(r["engine"], r["verdict"], r["layers"]["mode"]) for r in reports] == [
        ("int8", "pass", "outputs only"),
        ("fp32", "pass", "outputs only"),
    ]
    assert sorted(path.name for path in (folder / "engines").iterdir()) == ["fp32.toy", "int8.toy"]
    assert shell.edgekit("verify", folder).returncode == 0


def test_what_it_leaves_out_has_its_default() -> None:
    made = toy_engine.Backend(toy_engine.Config(engine="toy"))
    assert (made.int8_control, made.control("int8"), made.slower_fails) == ("fp32", "fp32", False)
    assert engine.Backend.int8_races
    assert made.runs_elsewhere() == ""
    assert made.parts(Path("e"), Path("m"), []) is None
    assert made.achieved(Path("e"), Path("m"), "int8") is None


NO_CLASS = "engine 'old': the module acme_engine has no class Backend(edgekit.engine.Backend)"
FUNCTIONS = """
from typing import Literal

from edgekit.engine import EngineConfig

SUFFIX = ".old"


class Config(EngineConfig):
    engine: Literal["old"]


def build(source, target, config, progress=None): ...
def open(path, config): ...
"""
INCOMPLETE = """
from typing import Literal

from edgekit import engine
from edgekit.engine import EngineConfig


class Config(EngineConfig):
    engine: Literal["old"]


class Backend(engine.Backend):
    def require(self): ...
    def build(self, source, target, progress=None): ...
"""


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (FUNCTIONS, f"{NO_CLASS}; a module's functions (build, open, ...) are no backend any more: make them methods"),
        ("from edgekit.engine import Backend\n" + FUNCTIONS, NO_CLASS),
        (
            INCOMPLETE,
            "engine 'old': acme_engine.Backend lacks engine, fingerprint, probe, quantization_profile, suffix",
        ),
    ],
)
def test_another_form_is_refused_in_one_line(
    module: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_engine(tmp_path / "site", monkeypatch, "old", module)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "acme_engine", raising=False)
    with _found_anew(), pytest.raises(InputError) as refused:
        engine.backend(engine.target_of({"engine": "old"}))
    assert str(refused.value).startswith(message)


@contextmanager
def _found_anew() -> Iterator[None]:
    """Plugins are looked for when it begins, and again when it has ended."""
    for at in ("begin", "end"):
        plugins.forget()
        if at == "begin":
            yield


@pytest.mark.parametrize("command", [("build", "--target", "cpu"), ("compress",)])
def test_every_command_refuses_it_before_any_work(
    command: tuple[str, ...], bare_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path / "site", monkeypatch, "old", FUNCTIONS)
    file = bare_project / "edgekit.yaml"
    file.write_text(file.read_text().replace("cpu: {engine: ort, threads: 1}", "cpu: {engine: old}"))
    message = shell.error_of(shell.edgekit(command[0], bare_project, *command[1:]), 2)
    assert "engine 'old': the module acme_engine has no class Backend(edgekit.engine.Backend)" in message
    assert not (bare_project / ".edgekit").exists()


def test_an_unknown_backend_gets_the_nearest() -> None:
    with pytest.raises(InputError, match="no plugin named 'ortt'; did you mean 'ort'"):
        engine.backend_class("ortt")
    assert "toy" not in plugins.names("engine")
