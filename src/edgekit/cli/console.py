"""What the commands share: progress bars, tables, JSON, errors, common options."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from edgekit.cli.heartbeat import Heartbeat, Pace
from edgekit.core.errors import EdgekitError, InputError, SpecError

_WIDEST = 10_000


def _there(root: Path | None) -> Path | None:
    """``--root`` as given; refused before any work when nothing is there."""
    if root is not None and not root.exists():
        raise InputError(f"--root {root}: no such folder; name the one that holds the evaluation data on this machine")
    return root


def _spec_there(spec: Path) -> Path:
    """SPEC as given; one that is not there is refused before a missing option is."""
    from edgekit.core.specfile import require_exists

    require_exists(spec)
    return spec


def _bundle_there(bundle: Path) -> Path:
    """BUNDLE as given; one that is not there is refused before a missing option is."""
    from edgekit.bundle.manifest import require_exists

    require_exists(bundle)
    return bundle


def _reserved(as_json: bool) -> bool:
    """``--json`` as given; from here on nothing but the document gets to stdout."""
    if as_json:
        from edgekit.cli.streams import reserve_stdout

        reserve_stdout()
    return as_json


JsonOption = Annotated[
    bool,
    typer.Option("--json", callback=_reserved, help="One JSON document on stdout; everything else on stderr."),
]
VerboseOption = Annotated[bool, typer.Option("--verbose", "-v", help="Log what happens, on stderr.")]
OutOption = Annotated[Path | None, typer.Option(help="Folder for the results; default: artifacts beside the spec.")]
RootOption = Annotated[
    Path | None, typer.Option(callback=_there, help="Where the evaluation data are on this machine.")
]
SpecArgument = Annotated[Path, typer.Argument(callback=_spec_there, help="The spec file, or the folder it is in.")]
BundleArgument = Annotated[Path, typer.Argument(callback=_bundle_there, help="A bundle folder or .edgekit file.")]


APP_OPTIONS: dict[str, Any] = {
    "add_completion": False,
    "rich_markup_mode": None,
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"], "max_content_width": 110},
}


def single(function: Callable[..., None]) -> typer.Typer:
    """A command of its own from a typer-style function."""
    app = typer.Typer(**APP_OPTIONS)
    # A given short help is not cut off in the list of commands.
    app.command(short_help=(function.__doc__ or "").strip().splitlines()[0])(function)
    return app


class Bars:
    """Progress bars on stderr for a person, a line a minute for a pipe; ``-v`` logs instead."""

    def __init__(self, verbose: bool = False, every_s: float = 60.0) -> None:
        self.verbose = verbose
        self._every_s = every_s
        self._stream = sys.stderr
        self._running: list[Heartbeat] = []
        if verbose:
            logging.basicConfig(stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
            logging.getLogger("edgekit").setLevel(logging.INFO)
        self._log = logging.getLogger("edgekit")

    @contextlib.contextmanager
    def track(
        self, title: str, total: int | None = None, *, done: int = 0, frames: int = 0
    ) -> Iterator[Callable[[], None]]:
        """See :class:`edgekit.core.progress.Progress`."""
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._log.info("%s%s", title, f" ({total})" if total else "")
        console = Console(stderr=True)
        if not console.is_terminal or self.verbose:
            pace = Pace(done, frames)
            with Heartbeat(title, total, self._stream, self._running, self._every_s, pace) as step:
                yield step.advance
            return
        counted = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) if total else (SpinnerColumn(),)
        speed = (TextColumn("{task.fields[speed]}"),) if frames else ()
        columns = (TextColumn("{task.description:<22}"), *counted, TimeElapsedColumn(), *speed)
        # A counted step is drawn between its parts: a drawing thread would disturb the latencies being measured.
        with Progress(*columns, console=console, transient=True, auto_refresh=total is None) as bars:
            task = bars.add_task(title, total=total, completed=done, speed="")
            began = drawn = time.monotonic()
            pace, count = Pace(done, frames), done

            def advance() -> None:
                nonlocal drawn, count
                bars.advance(task)
                count += 1
                if time.monotonic() - drawn > 0.1:
                    speed = pace.frames_per_s(count, time.monotonic() - began)
                    bars.update(task, speed=f"{speed:.3g} frames/s" if speed else "")
                    bars.refresh()
                    drawn = time.monotonic()

            yield advance


def print_json(document: Any) -> None:
    """One JSON document on stdout.

    Raises:
        OutputError: it cannot be written: what stdout leads to is full.
    """
    from edgekit.cli.streams import write_document

    write_document(json.dumps(document, indent=2) + "\n")


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]], words: str = "") -> None:
    """A table on stdout; all columns but the first, and the one named ``words``, are right-aligned.

    In a file, a pipe or a CI log it is as wide as its content.  On a terminal, and where COLUMNS says how wide the
    page is, cells wrap between words; names, which are in the first column, never do.
    """
    from rich.cells import cell_len
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for index, name in enumerate(header):
        table.add_column(name, justify="left" if index == 0 or name == words else "right", no_wrap=index == 0)
    table.columns[0].min_width = max((cell_len(row[0]) for row in rows), default=0)
    for row in rows:
        # Text, because a cell such as "edgekit[demo]" would be read as markup.
        table.add_row(*map(Text, row))
    console = Console()
    needs = Measurement.get(console, console.options.update(max_width=_WIDEST), table)
    free = not console.file.isatty() and "COLUMNS" not in os.environ
    console.width = needs.maximum if free else max(console.width, needs.minimum)
    console.print(title, highlight=False, markup=False, soft_wrap=True)
    console.print(table)


def show_error(error: EdgekitError) -> None:
    """``error: ...`` on stderr; a spec's further mistakes one per line."""
    lines = error.problems if isinstance(error, SpecError) and error.problems else (str(error),)
    for line in lines:
        typer.echo(f"error: {line}", err=True)
