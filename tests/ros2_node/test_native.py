"""Which code the node's frames go through; a stand-in takes the place of edgekit-native (its own tests: cpp/python)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgekit.bundle import Bundle, open_bundle
from edgekit.core.errors import EnvironmentFault, MissingRequirement
from edgekit.engine import Chain
from edgekit.ros2_node.loading import loaded
from edgekit.ros2_node.native import opened
from edgekit.ros2_node.parameters import Settings

STAND_IN = """
from contextlib import contextmanager
from edgekit.core.errors import EnvironmentFault
from edgekit.engine import Chain

class Marked(Chain):
    pass

@contextmanager
def opened(bundle):
    if {refuses}:
        raise EnvironmentFault("task.kind: 'riddle' is not supported")
    with bundle.engine() as engine:
        yield Marked(bundle.preprocess(), engine, bundle.task())
"""


@pytest.fixture
def bundle(tiny_bundle: Path) -> Iterator[Bundle]:
    with open_bundle(tiny_bundle) as one:
        yield one


@pytest.fixture(autouse=True)
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without edgekit-native, whatever this one has."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "edgekit_native"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [one for one in sys.path if not (Path(one) / "edgekit_native").is_dir()])


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    (folder / "edgekit_native").mkdir()
    (folder / "edgekit_native" / "__init__.py").write_text("")
    (folder / "edgekit_native" / "chain.py").write_text(code)
    monkeypatch.syspath_prepend(str(folder))


def forget() -> None:
    for name in ("edgekit_native", "edgekit_native.chain"):
        sys.modules.pop(name, None)


class TestWithoutIt:
    def test_auto_takes_python_and_says_why(self, bundle: Bundle) -> None:
        with opened(bundle, "auto") as found:
            assert type(found.chain) is Chain
            assert found.runs == "Python: edgekit-native is not installed"

    def test_off_takes_python(self, bundle: Bundle) -> None:
        with opened(bundle, "off") as found:
            assert found.runs == "Python: native is off"

    def test_on_is_an_error_that_says_where_it_is(self, bundle: Bundle) -> None:
        with pytest.raises(MissingRequirement, match="edgekit-native"), opened(bundle, "on"):
            pass


class TestWithIt:
    @pytest.fixture(autouse=True)
    def _clean(self) -> Iterator[None]:
        yield
        forget()

    @pytest.mark.parametrize("native", ["auto", "on"])
    def test_runs_in_it(self, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, native: str) -> None:
        install(tmp_path, monkeypatch, STAND_IN.format(refuses=False))
        with opened(bundle, native) as found:
            assert type(found.chain).__name__ == "Marked"
            assert found.runs == "C++"

    def test_what_it_has_not_goes_through_python(
        self, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        install(tmp_path, monkeypatch, STAND_IN.format(refuses=True))
        with opened(bundle, "auto") as found:
            assert type(found.chain) is Chain
            assert found.runs == "Python: task.kind: 'riddle' is not supported"
        with pytest.raises(EnvironmentFault, match="riddle"), opened(bundle, "on"):
            pass

    def test_one_that_does_not_import(self, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        install(tmp_path, monkeypatch, "raise ImportError('libz.so.1 is missing')")
        with opened(bundle, "auto") as found:
            assert found.runs == "Python: edgekit-native is installed, but it does not import: libz.so.1 is missing"
        with pytest.raises(EnvironmentFault, match="does not import"), opened(bundle, "on"):
            pass

    def test_a_fault_while_it_runs_is_no_reason_for_python(
        self, bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        install(tmp_path, monkeypatch, STAND_IN.format(refuses=False))
        with pytest.raises(EnvironmentFault, match="later"), opened(bundle, "auto"):
            raise EnvironmentFault("later")

    def test_golden_frames_go_through_it_and_diagnostics_say_so(
        self, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        install(tmp_path, monkeypatch, STAND_IN.format(refuses=False))
        with loaded(tiny_bundle, native=Settings().native) as found:
            assert found.identity["runs"] == "C++"
            assert type(found.chain).__name__ == "Marked"
            assert found.smoke.frames > 0
