"""Which code runs a bundle's frames: Python, or the C++ runtime where ``edgekit-native`` is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from edgekit.bundle import Bundle
from edgekit.core import plugins
from edgekit.core.errors import EnvironmentFault
from edgekit.engine import Chain


@dataclass(frozen=True)
class Opened:
    """A chain whose engine is open; ``runs`` says in words what runs it, and why not the C++ runtime."""

    chain: Chain
    runs: str


@contextmanager
def opened(bundle: Bundle, native: str) -> Iterator[Opened]:
    """The chain of a bundle, open until the end.

    Args:
        bundle: open, and stays so.
        native: ``auto``: by the C++ runtime where it is installed and has all that the bundle asks for; ``on``: by
            nothing else; ``off``: by Python.

    Raises:
        MissingRequirement: ``on``, and it is not installed; or the runtime of the engine is not here.
        EnvironmentFault: ``on``, and the bundle asks for something that it has not; names it.
        BundleError: the bundle was built for another machine.
    """
    with ExitStack() as stack:
        yield _entered(stack, bundle, native)


def _entered(stack: ExitStack, bundle: Bundle, native: str) -> Opened:
    reason = "native is off"
    if native == "auto" and importlib.util.find_spec("edgekit_native") is None:
        reason = "edgekit-native is not installed"
    elif native != "off":
        try:
            return Opened(stack.enter_context(_native(bundle)), "C++")
        except EnvironmentFault as fault:
            if native == "on":
                raise
            reason = str(fault)
    return Opened(bundle.chain(stack.enter_context(bundle.engine())), f"Python: {reason}")


@contextmanager
def _native(bundle: Bundle) -> Iterator[Chain]:
    if importlib.util.find_spec("edgekit_native") is None:
        plugins.require_apart("engine", "native")
    try:
        from edgekit_native.chain import opened as chain_of
    except ImportError as error:
        raise EnvironmentFault(f"edgekit-native is installed, but it does not import: {error}") from error
    with chain_of(bundle) as chain:
        yield chain
