"""What a build found out about its engines, in tables and sentences."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit.cli.console import print_table
from edgekit.core.reports import Achieved, EngineProof, LayerParity, VerifyReport

_COUNTS = {
    "missed_layers": "wider than asked",
    "unfused_qdq": "Q/DQ of their own",
    "reformat_layers": "reformats",
    "dla_subgraphs": "on a DLA",
    "dla_fallbacks": "left to the GPU",
    "sparse_layers": "on 2:4 sparse kernels",
}
_NAMED = 3


def show_parity(report: VerifyReport) -> None:
    """Outputs, layers and the second check's word: why an engine is, or is not, its typed model."""
    rows = [
        (o.output, o.kind, _number(o.max_abs), f"{o.distance:.3g}", f"{o.limit:.3g}", f"{o.noise:.3g}", o.verdict)
        for o in report.outputs
    ]
    header = ("output", "compared as", "max abs", "distance", "limit", "noise of the model", "verdict")
    print_table(f"{report.bundle}: {report.engine} on {report.frames} golden frames", header, rows)
    layers = report.layers
    if layers is not None and layers.mode == "outputs only":
        print(f"outputs only: {layers.reason}")
    elif layers is not None:
        shown = layers.departed or layers.worst[:_NAMED]
        worst = [
            (x.nodes[0] if x.nodes else x.layer, x.op, x.tensor, _steps(x), f"{x.limit:g}", x.verdict) for x in shown
        ]
        title = f"{layers.compared} layers on the typed model's own tensors: {layers.verdict}; the worst"
        print_table(title, ("layer", "op", "tensor", "steps", "limit", "verdict"), worst)
    if report.agreement is not None:
        seen = report.agreement
        print(
            f"what the task makes of engine and typed model: {seen.disagreement:.2%} {seen.measure} on {seen.frames} "
            f"frames when it was built (limit {seen.limit:.2%}; of the typed model against FP32 {seen.noise:.2%}): "
            f"{seen.verdict}"
        )
        if seen.empty == seen.frames:
            print(
                "the task finds nothing on any of these frames: nothing was compared; calibrate on frames with objects"
            )
        elif seen.verdict == "undecided":
            print("these frames are too few to say more; parity: {frames: 64} in the spec asks on more")
    if report.golden_frames is not None:
        print(f"preprocessing, raw golden frames to golden inputs: {report.golden_frames.preprocessing}")
        print(f"postprocessing, golden outputs to golden predictions: {report.golden_frames.postprocessing}")
    if report.verdict == "pass" and any(o.verdict == "fail" for o in report.outputs):
        print("an output is over its limit and no layer is: roundings add up, and the KPIs on accuracy judge them")


def _steps(layer: LayerParity) -> str:
    return f"{layer.steps:.4g}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def show_summary(proof: EngineProof) -> None:
    """How many layers of an engine compute in which type, against what its model asked for."""
    achieved = proof.achieved
    if achieved is None:
        return
    groups: dict[tuple[str, str], list[str]] = {}
    for layer in achieved.layers:
        if layer.wanted:
            groups.setdefault((layer.wanted, layer.achieved or "?"), []).append(layer.name)
    rows = [(*types, str(len(names)), _some(names, achieved.missed)) for types, names in groups.items()]
    print_table(_title(achieved), ("asked for", "achieved", "layers", "missed"), rows, "missed")


def show_layers(proof: EngineProof) -> None:
    """Every layer that was asked for a type, or that only rounds."""
    if proof.achieved is not None:
        header = ("layer", "kind", "asked for", "achieved")
        print_table(_title(proof.achieved), header, proof.achieved.rows())


def _title(achieved: Achieved) -> str:
    counts = [f"{int(achieved.numbers[name])} {what}" for name, what in _COUNTS.items() if achieved.numbers.get(name)]
    if achieved.unknown:
        counts.append(f"{achieved.unknown} not told")
    return f"{achieved.precision} layers: {achieved.verdict}; {', '.join(counts) or 'all as asked'}"


def _some(names: Sequence[str], missed: Sequence[str]) -> str:
    found = [name for name in names if name in missed]
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more
