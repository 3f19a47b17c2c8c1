"""Which of edgekit's errors a code of the C++ runtime is."""

from __future__ import annotations

from edgekit.core.errors import BundleError, DataError, EdgekitError, EnvironmentFault, InputError, TensorError

_ERRORS: dict[str, type[EdgekitError]] = {
    "invalid_argument": InputError,
    "bundle": BundleError,
    "frame": DataError,
    "tensor": TensorError,
    "unsupported": EnvironmentFault,
    "missing_requirement": EnvironmentFault,
    "engine": EnvironmentFault,
    "out_of_memory": EnvironmentFault,
    "not_ready": InputError,
    "timeout": EnvironmentFault,
}


def exception(code: str, message: str) -> EdgekitError:
    """The exception of a code; the module raises it."""
    return _ERRORS[code](message)
