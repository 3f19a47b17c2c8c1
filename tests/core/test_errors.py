"""The error tree: exit codes and one-line messages."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pytest

from edgekit.core import errors
from edgekit.core.errors import EdgekitError, MissingRequirement, SpecError


def _tree(kind: type[EdgekitError] = EdgekitError) -> Iterator[type[EdgekitError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__.startswith("edgekit."):
            yield from _tree(child)


def _make(kind: type[EdgekitError], message: str) -> EdgekitError:
    return kind(message, "pip install x") if issubclass(kind, MissingRequirement) else kind(message)


CODES = {
    "EdgekitError": 2,
    "InputError": 2,
    "SpecError": 2,
    "ModelError": 2,
    "DataError": 2,
    "TensorError": 2,
    "BundleError": 2,
    "CheckFailed": 1,
    "EnvironmentFault": 3,
    "MissingRequirement": 3,
    "OutputError": 3,
}


def test_exit_codes_are_the_documented_ones() -> None:
    assert {kind.__name__: kind.exit_code for kind in _tree()} == CODES


def test_the_drawn_tree_is_the_real_one() -> None:
    drawing = inspect.getdoc(errors) or ""
    assert all(name in drawing for name in CODES)
    parents = {kind.__name__: kind.__bases__[0].__name__ for kind in _tree() if kind is not EdgekitError}
    assert {child for child, parent in parents.items() if parent == "EdgekitError"} == {
        "InputError", "CheckFailed", "EnvironmentFault",
    }  # fmt: skip
    assert {child for child, parent in parents.items() if parent == "EnvironmentFault"} == {
        "MissingRequirement", "OutputError",
    }  # fmt: skip


@pytest.mark.parametrize("kind", list(_tree()), ids=lambda kind: kind.__name__)
def test_messages_are_one_line(kind: type[EdgekitError]) -> None:
    error = _make(kind, "first line\n   second\tline\r\n")
    assert str(error).startswith("first line second line")
    assert len(str(error).splitlines()) == 1


def test_a_missing_requirement_ends_with_its_install_line() -> None:
    error = MissingRequirement("TensorRT", "apt install tensorrt")
    assert str(error) == "TensorRT is not available on this machine; install it with: apt install tensorrt"
    assert (error.what, error.install) == ("TensorRT", "apt install tensorrt")


def test_what_no_command_installs_has_a_note_instead() -> None:
    error = MissingRequirement("the command tegrastats", note="it is part of JetPack on a Jetson")
    assert str(error) == "the command tegrastats is not available on this machine; it is part of JetPack on a Jetson"
    assert (error.install, error.note) == ("", "it is part of JetPack on a Jetson")
    with pytest.raises(ValueError, match="an install line or a note"):
        MissingRequirement("the command tegrastats")


def test_a_spec_error_holds_every_problem() -> None:
    assert SpecError("a (and 1 more)", ("a", "b")).problems == ("a", "b")
    assert SpecError("a").problems == ()
