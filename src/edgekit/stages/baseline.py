"""What a bundle is compared with: another bundle, or an earlier run, whose bundle is run again where it can be."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit import evaluation
from edgekit.bundle import Bundle, open_bundle
from edgekit.core.errors import BundleError, InputError
from edgekit.core.reports import EvaluateReport, ProfileReport
from edgekit.kpis import PROFILE_METRICS, check_same

if TYPE_CHECKING:
    from edgekit.history import History, Run


@dataclass(frozen=True)
class Other:
    """The baseline: its bundle, which is run again, or else what a run of it recorded.

    ``earlier`` are latencies of runs by metric; ``why`` says why figures of another run have to do, or, where there is
    neither bundle nor figures, why there is no baseline yet.
    """

    name: str = ""
    bundle: Bundle | None = None
    documents: tuple[EvaluateReport, ProfileReport] | None = None
    earlier: dict[str, list[float]] = field(default_factory=dict)
    why: str = ""

    @property
    def exists(self) -> bool:
        """Whether there is something to compare with."""
        return self.bundle is not None or self.documents is not None


def find(bundle: Bundle, reference: str, book: History | None, fresh: bool) -> Other:
    """The baseline of ``bundle`` that ``reference`` names.

    Args:
        bundle: the one to judge.
        reference: a bundle's path, or ``last-good``, a git revision or a run of the history.
        book: the history; None: there is none.
        fresh: nothing was measured before, so that both can be measured in turn.

    Raises:
        InputError: the baseline is unknown, or was evaluated on other data or with other preprocessing.
        BundleError: the path is no bundle.
    """
    if Path(reference).exists():
        if not fresh:
            raise InputError("--against a bundle measures both in turn; leave --evaluation and --profile out")
        opened = open_bundle(Path(reference))
        return Other(opened.identity, opened)
    from edgekit.history import LAST_GOOD

    if book is None:
        raise InputError(f"--against {reference}: no such bundle, and no history to look it up in; give --history")
    if reference == LAST_GOOD and not book.has_good(bundle.contents.target, bundle.contents.name):
        return Other(why=f"no run of {bundle.name} has passed its gate yet, so there is no {LAST_GOOD}")
    run = book.find(reference, target=bundle.contents.target, name=bundle.contents.name)
    name = f"run {run.entry.id[:8]}"
    if not fresh:
        return _recorded(bundle, reference, book, run, name)
    _require_same(bundle, run, name)
    kept, why = _kept(book, run)
    if kept is not None:
        return Other(name, kept)
    return replace(
        _recorded(bundle, reference, book, run, name),
        why=f"baseline {name}: {why}; it was compared by its recorded figures, so a few percent of latency are open",
    )


def _recorded(bundle: Bundle, reference: str, book: History, run: Run, name: str) -> Other:
    """An earlier run by its documents, and the latencies of all runs."""
    if run.profile is None:
        raise InputError(f"--against {reference}: run {run.entry.id} was not profiled; name another")
    contents = bundle.contents
    runs = book.entries(contents.target, contents.name)
    wanted = {kpi.metric or name for name, kpi in contents.kpis.items()} & {metric.name for metric in PROFILE_METRICS}
    earlier = {name: [one.metrics[name] for one in runs if name in one.metrics] for name in sorted(wanted)}
    return Other(name, None, (run.evaluation, run.profile), earlier)


def _kept(book: History, run: Run) -> tuple[Bundle | None, str]:
    """The bundle of a run, where the history has it and it runs here; else why not."""
    from edgekit.history import BUNDLE

    entry = run.entry
    path = book.artifact(BUNDLE, entry.digest, entry.target, entry.name)
    if path is None:
        return None, "the history does not keep its bundle"
    try:
        opened = open_bundle(path)
        opened.engine()
    except BundleError as error:
        return None, f"its bundle does not run here ({error})"
    return (opened, "") if opened.digest == entry.digest else (None, f"{path} holds {opened.identity}, not its bundle")


def _require_same(bundle: Bundle, run: Run, name: str) -> None:
    """Raise unless the run saw the data that are pinned, prepared alike: before anything is measured."""
    pinned = bundle.evaluation_data
    if pinned is not None:
        check_same(name, "dataset_hash", run.evaluation.dataset_hash, pinned.dataset_hash)
    prepared = evaluation.section_hash(bundle.contents.preprocess)
    check_same(name, "preprocess_hash", run.evaluation.preprocess_hash, prepared)
