"""A build's phases as one bar, and Ctrl-C as the end of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from edgekit.engine.trt.bindings import Api

PARTS = 100
T = TypeVar("T")


class Share:
    """How much of nested phases is done, in parts of :data:`PARTS`; never less than before.

    A phase of n steps counts 1/n for each, and for the step in hand what its own child phase has done of it.
    """

    def __init__(self, advance: Callable[[], None]) -> None:
        self._advance = advance
        self._phases: dict[str, tuple[str | None, int, int]] = {}
        self._shown = 0
        self._lock = threading.Lock()  # the builder reports from several threads

    def start(self, name: str, parent: str | None, steps: int) -> None:
        """A phase of ``steps`` begins."""
        with self._lock:
            self._phases[name] = (parent, max(steps, 1), 0)

    def step(self, name: str, step: int) -> None:
        """Step ``step``, counted from 0, is done."""
        with self._lock:
            if name in self._phases:
                parent, steps, done = self._phases[name]
                self._phases[name] = (parent, steps, min(max(done, step + 1), steps))
            self._show()

    def finish(self, name: str) -> None:
        """The phase is over, its steps done or not."""
        with self._lock:
            phase = self._phases.pop(name, None)
            if phase is not None and phase[0] is None:
                self._show(PARTS)

    def _show(self, parts: int | None = None) -> None:
        roots = [name for name, (parent, _, _) in self._phases.items() if parent not in self._phases]
        now = parts if parts is not None else int(PARTS * max((self._done(name) for name in roots), default=0.0))
        while self._shown < now:
            self._shown += 1
            self._advance()

    def _done(self, name: str) -> float:
        _, steps, done = self._phases[name]
        children = [child for child, (parent, _, _) in self._phases.items() if parent == name and child != name]
        inner = max((self._done(child) for child in children), default=0.0) if done < steps else 0.0
        return (done + inner) / steps


def monitor(api: Api, share: Share, cancelled: threading.Event) -> Any:
    """An ``IProgressMonitor`` that reports to ``share`` and stops the build once ``cancelled`` is set."""
    trt = api.module

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            share.start(phase_name, parent_phase, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            share.step(phase_name, step)
            return not cancelled.is_set()

        def phase_finish(self, phase_name: str) -> None:
            share.finish(phase_name)

    return Monitor()


def interruptible(work: Callable[[], T], cancelled: threading.Event) -> T:
    """The result of ``work``, run in a thread of its own: a build holds the main thread in native code, where Python
    would not see Ctrl-C until the end.  On Ctrl-C ``cancelled`` is set, and the thread is waited for."""
    with ThreadPoolExecutor(1, thread_name_prefix="trt-build") as pool:
        future = pool.submit(work)
        try:
            return future.result()
        except KeyboardInterrupt:
            cancelled.set()
            raise
