"""Every error edgekit raises on purpose.

    EdgekitError
    |-- InputError               exit 2   the user's input is wrong
    |   |-- SpecError                     edgekit.yaml: a key, a value, a reference
    |   |-- ModelError                    the model file, its weights, its export
    |   |-- DataError                     a dataset, an image, a mask
    |   |-- TensorError                   name, shape or dtype of an array
    |   `-- BundleError                   a bundle that is truncated, edited or foreign
    |-- CheckFailed              exit 1   a KPI or a parity check does not hold
    `-- EnvironmentFault         exit 3   this machine lacks what the command needs
        |-- MissingRequirement            a package, engine or device, with the install line or a note
        `-- OutputError                   the output folder is read-only or full

Vendor errors are translated where the vendor is called, with ``raise ... from``.
"""

from __future__ import annotations

from typing import ClassVar


class EdgekitError(Exception):
    """Root of the tree; ``str()`` is one line that names value, expectation and fix."""

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class InputError(EdgekitError):
    """What the user gave cannot be used."""


class SpecError(InputError):
    """The spec file has mistakes; ``problems`` holds one line for each."""

    def __init__(self, message: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class ModelError(InputError):
    """The model cannot be loaded, run or exported."""


class DataError(InputError):
    """A dataset or one of its files cannot be used."""


class TensorError(InputError):
    """An array has the wrong name, shape or dtype."""


class BundleError(InputError):
    """A bundle is incomplete, was changed, or was made for another machine."""


class CheckFailed(EdgekitError):
    """A KPI or a parity check was measured and does not hold."""

    exit_code: ClassVar[int] = 1


class EnvironmentFault(EdgekitError):
    """This machine lacks what the command needs."""

    exit_code: ClassVar[int] = 3


class MissingRequirement(EnvironmentFault):
    """A package, engine or device is not here; the message ends with the install line.

    Of what no command installs, ``note`` says where it comes from instead, and ``install`` is empty.
    """

    def __init__(self, what: str, install: str = "", *, note: str = "") -> None:
        if bool(install) == bool(note):
            raise ValueError("a missing requirement has an install line or a note")
        super().__init__(f"{what} is not available on this machine; {note or f'install it with: {install}'}")
        self.what = what
        self.install = install
        self.note = note


class OutputError(EnvironmentFault):
    """A result could not be written; nothing half-written is left."""


def os_reason(error: OSError) -> str:
    """What the operating system said, as part of a sentence."""
    return (error.strerror or str(error)).lower()
