"""The product in one file: what each command does, in order.

Every function here is a command of the CLI and a function of the Python API.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgekit import __version__, engine, remote
from edgekit.bundle import DIRTY, REVISION, Bundle, open_bundle
from edgekit.core.artifacts import require_writable, write_bytes, write_json
from edgekit.core.errors import DataError, OutputError, SpecError
from edgekit.core.locks import locked
from edgekit.core.progress import Progress, Silent
from edgekit.core.reports import (
    CompressReport,
    ControlChart,
    EvaluateReport,
    GateReport,
    ProfileReport,
    SensitivityReport,
    VerifyReport,
)
from edgekit.core.spec import Spec
from edgekit.core.specfile import lines_of, located, read_spec
from edgekit.core.suggest import allowed
from edgekit.core.workspace import Workspace
from edgekit.data import Dataset
from edgekit.engine import AutoConfig, Chain
from edgekit.kpis import check_names
from edgekit.reporting import Content, Picture, Proof, draw_frames, write_html, write_picture
from edgekit.stages import contest, labels, measure
from edgekit.stages import gate as gating
from edgekit.stages import rebuild as rebuilding
from edgekit.stages.build import build_engines, publish_bundle
from edgekit.stages.compressed import Compressed
from edgekit.stages.gate import Gated, GateOptions, load_of
from edgekit.stages.golden import prove_frames
from edgekit.stages.measure import EvaluateOptions, ProfileOptions
from edgekit.stages.rebuild import Rebuilt
from edgekit.tasks import Found
from edgekit.verification import bisect as departures
from edgekit.verification import reduce as reductions
from edgekit.verification.limits import limits_of
from edgekit.verification.parity import Proven, check

SILENT = Silent()
ARTIFACTS = "artifacts"
"""The folder beside the spec that results go to when no other is named."""
WORK = ".edgekit"
"""The folder that stages keep their results in."""


def compress(
    spec: Spec | Path,
    out: Path | None = None,
    target: str | None = None,
    progress: Progress = SILENT,
    fresh: bool = False,
) -> Compressed:
    """Load the model, export it, quantize it: typed ONNX, golden inputs and outputs, calibration record.

    Args:
        spec: a spec, or the path of its file.
        out: folder for the results; default ``artifacts`` beside the spec.
        target: the target to compress for; default: the first of the spec.
        progress: shows steps.
        fresh: trust no earlier result.
    """
    given, spec = spec, _checked_spec(spec)
    target = _target(spec, target or next(iter(spec.targets)))
    contest.told(spec.targets[target])
    workspace = _workspace(spec, out, fresh)
    with lines_of(given):
        return _published(spec, _compress(spec, target, workspace, progress), out)


def _compress(spec: Spec, target: str, workspace: Workspace, progress: Progress) -> tuple[contest.Entry, ...]:
    from edgekit.stages import export, measuring, steps

    config = spec.targets[target]
    several = engine.backends(config) if isinstance(config, AutoConfig) else ()
    backends = several or (measuring.backend_of(spec, target, progress),)
    entries = [contest.Entry(backend) for backend in backends]
    frames = export.calibration_data(spec)
    measures = any(step.technique.measures for step in spec.compress)
    with labels.checked(spec, ("validation", "training") if measures else (), workspace, progress):
        exported = export.export_model(spec, workspace, frames, progress)
        export.check_task(spec, exported)
        start = steps.Point.of(spec, exported)
        chain = steps.Chain(target, entries[0].backend, workspace, start, frames, progress)
        point = steps.reached(chain)  # once, whatever the number of runtimes

        def compressed(entry: contest.Entry) -> contest.Entry:
            return replace(entry, compressed=steps.finished(replace(chain, backend=entry.backend), point))

        return contest.each(entries, compressed)


def _published(
    spec: Spec, entries: Sequence[contest.Entry], out: Path | None, chosen: contest.Entry | None = None
) -> Compressed:
    """The typed models where the user finds them; builds of several targets write them there in turn.

    Of several runtimes those of the chosen one, by default the first, and what is its own of the others.
    """
    from edgekit.stages import compress

    models = {entry.engine: entry.compressed for entry in entries if entry.compressed is not None}
    made = models.pop(next(iter(models)) if chosen is None else chosen.engine)
    final = _out(spec, out) / f"{spec.name}-compressed"
    with locked(final):
        return compress.publish_compressed(spec, made, final, models)


def sensitivity(
    spec: Spec | Path,
    target: str | None = None,
    by_metric: bool = False,
    out: Path | None = None,
    progress: Progress = SILENT,
    fresh: bool = False,
    prune: bool = False,
) -> SensitivityReport:
    """Quantize each layer alone and rank the layers by what that costs; writes ``sensitivity.json`` and ``.png``.

    Args:
        spec: a spec, or the path of its file.
        target: decides the Q/DQ placement, of ``engine: auto`` the first runtime by name; default: the first of the
            spec.
        by_metric: measure the loss of the task metric too, on the validation frames; much slower.
        out: folder for the results; default ``artifacts`` beside the spec.
        progress: shows steps.
        fresh: trust no earlier result.
        prune: also narrow each group of channels alone: what that costs, and what it saves on the target.
    """
    from edgekit.stages import compress, export

    given, spec = spec, _spec(spec)
    target = _target(spec, target or next(iter(spec.targets)))
    backend, folder = engine.backends(spec.targets[target])[0], _out(spec, out)
    workspace = _workspace(spec, out, fresh)
    frames = export.calibration_data(spec)
    with lines_of(given):
        exported = export.export_model(spec, workspace, frames, progress)
    found, picture = compress.analyse_layers(spec, target, backend, exported, frames, by_metric, progress)
    if prune:
        far = remote.backends(spec.targets[target], progress)[0]
        groups = compress.analyse_groups(spec, target, far, exported, frames, workspace.root, progress)
        found = replace(found, groups=groups)
    document = folder / "sensitivity.json"
    with locked(document):  # the picture is that of the numbers
        write_json(document, found.to_dict())
        write_bytes(folder / "sensitivity.png", picture)
    return found


def build(
    spec: Spec | Path,
    target: str,
    out: Path | None = None,
    progress: Progress = SILENT,
    host: str | None = None,
    fresh: bool = False,
) -> Bundle:
    """Build the target's engine and its control, prove both against golden, write the bundle.

    The bundle's manifest records the fingerprint of the evaluation data, so these must be here too.  ``host``
    (user@board) is where the engines are built and proven, over SSH; default: that of the target, else here.  ``fresh``
    trusts no earlier result.  The bundle's ``stages`` say which were reused, and why the others were not.

    A target with ``engine: auto`` is built for every runtime of this machine's processor; the bundle holds the fastest
    that holds parity, and ``contest.json`` says why.

    Builds of other targets of the project may run meanwhile; one into the same bundle waits until this one is done.
    """
    from edgekit.stages import export

    given, spec = spec, _checked_spec(spec)
    if host is not None:
        spec = remote.on_host(spec, _target(spec, target), host)
    config = spec.targets[_target(spec, target)]
    absent, backends = contest.told(config), remote.backends(config, progress)
    for backend in backends:
        backend.require()  # no work for an engine that is not here
    workspace = _workspace(spec, out, fresh)
    final = _out(spec, out) / f"{spec.name}-{target}"

    def built(entry: contest.Entry) -> contest.Entry:
        made = build_engines(spec, target, entry.backend, entry.models, workspace, progress)
        return replace(entry, built=made)

    # The labels before time goes into anything else.
    with locked(final), labels.checked(spec, ("evaluation",), workspace, progress) as data:
        with lines_of(given):
            compressed = _compress(spec, target, workspace, progress)
        _published(spec, compressed, out)
        there = (replace(entry, backend=backend) for entry, backend in zip(compressed, backends, strict=True))
        entries = contest.each(tuple(there), built)
        held = contest.decide(target, entries, absent, workspace, progress) if isinstance(config, AutoConfig) else None
        won = entries[0] if held is None else contest.winner(entries, held)
        if won is not entries[0]:
            _published(spec, entries, out, won)
        origins = export.origins(spec, won.models)
        bundle = publish_bundle(
            spec, target, won.backend, final, won.models, won.engines, data.get("evaluation"), origins, held
        )
        return replace(bundle, stages=contest.stages(entries, held))


def rebuild(bundle: Bundle | Path, out: Path | None = None, progress: Progress = SILENT) -> Rebuilt:
    """Make the bundle's engines anew for this machine, without PyTorch; see :mod:`edgekit.stages.rebuild`."""
    return rebuilding.rebuild(_bundle(bundle), out, progress)


def verify(
    bundle: Bundle | Path, progress: Progress = SILENT, bisect: bool = False, reduce: Path | None = None
) -> VerifyReport:
    """Run the bundle's engine on its golden inputs and compare the outputs; prove what comes before and after it.

    With ``bisect``, engines that show their tensors are built from the bundle's typed model until the first layer that
    departs is found; see :mod:`edgekit.verification.bisect`.  ``reduce`` is a file for the smallest part of the
    model that departs; see :mod:`edgekit.verification.reduce`.
    """
    bundle = _bundle(bundle)
    candidate, golden, backend = bundle.contents.candidate, bundle.golden(), bundle.backend()
    limits = limits_of(candidate.precision, bundle.contents.parity)
    bundle.engine()  # refuses one that was built for another machine
    model = bundle.path / candidate.model
    proven = Proven(bundle.path / candidate.file, model, candidate.precision, golden)
    with progress.track("verify"):
        said = bundle.agreement
        report = check(backend, proven, limits, said, bundle=bundle.identity, name=candidate.file)
    proof = prove_frames(bundle)
    report = replace(report, golden_frames=proof, verdict="fail" if proof.verdict == "fail" else report.verdict)
    limit = limits.output_rel_l2
    if bisect:
        report = replace(report, departure=departures.find(backend, model, golden, limit, progress))
    if reduce is not None:
        report = replace(report, reduction=reductions.reduce(backend, model, golden, limit, reduce, progress))
    return report


def evaluate(
    bundle: Bundle | Path, options: EvaluateOptions | None = None, progress: Progress = SILENT
) -> EvaluateReport:
    """Task metrics of the engine and of its control on the evaluation frames, with intervals and slices."""
    return measure.evaluate(_bundle(bundle), options or EvaluateOptions(), progress)


def profile(bundle: Bundle | Path, options: ProfileOptions | None = None, progress: Progress = SILENT) -> ProfileReport:
    """Latency by stage, engine and control timed in turn; memory in a process of its own for each."""
    return measure.profile(_bundle(bundle), options or ProfileOptions(), progress)


def gate(
    bundle: Bundle | Path,
    evaluated: EvaluateReport | None = None,
    profiled: ProfileReport | None = None,
    options: GateOptions | None = None,
    progress: Progress = SILENT,
) -> GateReport:
    """Judge the bundle's KPIs on fresh measurements, or on the reports given; see :mod:`edgekit.stages.gate`."""
    return gated(bundle, evaluated, profiled, options, progress).gate


def gated(
    bundle: Bundle | Path,
    evaluated: EvaluateReport | None = None,
    profiled: ProfileReport | None = None,
    options: GateOptions | None = None,
    progress: Progress = SILENT,
) -> Gated:
    """As :func:`gate`, with the measurements that the verdict was reached by."""
    return gating.gate(_bundle(bundle), options or GateOptions(), evaluated, profiled, progress)


def report(
    bundle: Bundle | Path,
    path: Path,
    evaluated: EvaluateReport | None = None,
    profiled: ProfileReport | None = None,
    gated: GateReport | None = None,
    compressed: CompressReport | None = None,
    history: tuple[ControlChart, ...] = (),
    pictures: bool = True,
    root: Path | None = None,
    progress: Progress = SILENT,
) -> Content:
    """Write one HTML file of everything known about the bundle to ``path``; what is not given is measured.

    ``compressed`` and ``history`` are shown when they are given; ``pictures`` draws the worst frames, which needs
    the evaluation data.
    """
    bundle = _bundle(bundle)
    require_writable(path.parent)
    evaluated = evaluated or evaluate(bundle, EvaluateOptions(root), progress)
    profiled = profiled or profile(bundle, ProfileOptions(load_of(None), root), progress)
    gated = gated or gate(bundle, evaluated, profiled, GateOptions(root, needs_baseline=False), progress)
    task = bundle.task()
    judged = bundle.agreed_data(root) if pictures and evaluated.worst else None
    drawn: tuple[Picture, ...] = ()
    if judged is not None:
        ids = [frame.id for frame in evaluated.worst]
        with bundle.engine() as engine, progress.track("draw", len(ids)) as advance:
            chain = Chain(bundle.preprocess(), engine, judged.task)
            drawn = draw_frames(ids, chain, judged.dataset, advance)
    known = ("digest", "command", REVISION, DIRTY, "calibration", "tools", "device", "inputs")
    facts = {key: bundle.manifest.get(key) for key in known}
    facts["reported by"] = f"edgekit {__version__}"
    metrics = (*task.metrics, *task.sequence_metrics)
    proof = Proof.of(bundle.proofs[0], bundle.contest)
    content = Content(gated, evaluated, profiled, compressed, drawn, history, facts, metrics, proof, bundle.training)
    write_html(path, content)
    return content


@dataclass(frozen=True)
class Drawn:
    """A frame that was run: its id, the overlay picture's file, and what was found on it."""

    id: str
    picture: Path
    found: Found


def run(bundle: Bundle | Path, images: Dataset, out: Path, progress: Progress = SILENT) -> list[Drawn]:
    """Run the engine over frames and write an overlay picture of each; returns what was found on each.

    A frame that has truth shows it beside the prediction.
    """
    bundle = _bundle(bundle)
    if len(images) == 0:
        raise DataError("--images: no frame to run")
    drawn: list[Drawn] = []
    with bundle.engine() as engine, progress.track("run", len(images)) as advance:
        chain = bundle.chain(engine)
        for sample in images:
            prediction = chain(sample.images, sample.id)
            picture = chain.task.draw(sample.picture(), prediction, sample.truth)
            drawn.append(Drawn(sample.id, out / f"{sample.id}.png", chain.task.found(prediction)))
            write_picture(drawn[-1].picture, picture)
            advance()
    return drawn


def _spec(spec: Spec | Path) -> Spec:
    return spec if isinstance(spec, Spec) else read_spec(Path(spec))


def _checked_spec(given: Spec | Path) -> Spec:
    """The spec, whose KPIs a gate can judge: asked before any work."""
    spec = _spec(given)
    try:
        if spec.kpis:
            task = spec.task.create()
            check_names(spec.kpis, (*task.metrics, *task.sequence_metrics))
    except SpecError as error:
        raise (error if isinstance(given, Spec) or not error.problems else located(Path(given), error)) from error
    return spec


def _target(spec: Spec, name: str) -> str:
    if name not in spec.targets:
        raise SpecError(f"--target: no target {name!r} in the spec; {allowed(name, tuple(spec.targets))}")
    return name


def _bundle(bundle: Bundle | Path) -> Bundle:
    return bundle if isinstance(bundle, Bundle) else open_bundle(Path(bundle))


def _workspace(spec: Spec, out: Path | None, fresh: bool) -> Workspace:
    """``.edgekit`` beside the spec; in ``out`` when that folder cannot be written.

    Raises:
        OutputError: the results have no place.
    """
    beside = spec.base / WORK
    try:
        require_writable(beside)
    except OutputError as error:
        if out is None:
            raise OutputError(f"{error}: name one with --out") from error
        beside = out / WORK
    require_writable(_out(spec, out))
    require_writable(beside)
    return Workspace(beside, fresh)


def _out(spec: Spec, out: Path | None) -> Path:
    return out or spec.base / ARTIFACTS
