"""Engines timed in turn over one set of inputs, so that every drift of the machine's speed meets all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack

from edgekit.core.tensors import Arrays
from edgekit.engine._engine import Engine


def in_turn(
    engines: Mapping[str, Engine], feeds: Mapping[str, Arrays], queries: int, warmup: int
) -> dict[str, list[float]]:
    """Milliseconds of each query by engine, in the order they ran: A B, B A, ...

    Args:
        engines: open, by name.
        feeds: of every query, by engine.
        queries: that count.
        warmup: rounds before them that do not.
    """
    times: dict[str, list[float]] = {name: [] for name in engines}
    order = list(engines)
    for query in range(warmup + queries):
        for name in order:
            start = time.perf_counter()
            engines[name].infer(feeds[name])
            if query >= warmup:
                times[name].append((time.perf_counter() - start) * 1e3)
        order.reverse()
    return times


def opened_in_turn(
    openers: Mapping[str, Callable[[], Engine]], feeds: Mapping[str, Arrays], openings: int, each: int, settling: int
) -> dict[str, list[float]]:
    """As :func:`in_turn`, with engines that are opened anew: ``openings`` equal parts of ``each`` queries.

    Which is opened first changes too: what memory an engine gets depends on it.

    Args:
        openers: give an engine that is not open yet, by name.
        feeds: of every query, by engine.
        openings: how many.
        each: queries an opening that count.
        settling: rounds before them, in every opening, that do not.
    """
    times: dict[str, list[float]] = {name: [] for name in openers}
    order = list(openers)
    for _ in range(openings):
        with ExitStack() as stack:
            engines = {name: stack.enter_context(openers[name]()) for name in order}
            for name, found in in_turn(engines, feeds, each, settling).items():
                times[name] += found
        order.reverse()
    return times
