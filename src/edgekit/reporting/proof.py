"""The engine against its typed model, as the build found it and as the page shows it: see docs/parity.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgekit.core.reports import Agreement, Contest, EngineProof, LayerParity, LayersReport, OutputParity, VerifyReport
from edgekit.reporting import words

LAYERS = 5
"""The worst layers that the page shows where none departs; those that depart are all shown."""


@dataclass(frozen=True)
class Proof:
    """What a build found out about its candidate engine.

    ``parity`` is None where the engine could not be run while it was built: ``reason`` says why.  ``race`` is INT8
    against its control in one sentence; empty: there was none.  ``contest`` has a sentence on every runtime that could
    have served a target ``engine: auto``.
    """

    parity: VerifyReport | None
    reason: str = ""
    race: str = ""
    contest: tuple[str, ...] = ()

    @classmethod
    def of(cls, found: EngineProof, contest: Contest | None = None) -> Proof:
        """From an element of ``parity.json``, and ``contest.json``."""
        race = "" if found.race is None else found.race.line()
        return cls(found.parity(), found.reason, race, () if contest is None else tuple(contest.lines()))


@dataclass(frozen=True)
class OutputRow:
    """One output: how it was compared, how far it is from the typed model's, and what it may be."""

    name: str
    kind: str
    distance: str
    limit: str
    noise: str
    verdict: str


@dataclass(frozen=True)
class LayerRow:
    """One layer; ``width`` is its error as a bar, 0..100, full at the limit."""

    name: str
    module: str
    op: str
    steps: str
    limit: str
    width: float
    verdict: str


@dataclass(frozen=True)
class Shown:
    """The section: one sentence, tables, and further sentences."""

    lead: str
    verdict: str
    outputs: list[OutputRow]
    title: str
    layers: list[LayerRow]
    sentences: list[str]


def shown(found: Proof | None) -> Shown | None:
    """The section's content; None: nothing is known, and the section is left out."""
    if found is None:
        return None
    further = [f"Race against the control: {found.race}."] if found.race else []
    further += [f"Runtimes of this machine's processor, {line}." for line in found.contest]
    report = found.parity
    if report is None:
        lead = f"Not proven: {found.reason}. Run edgekit verify where the engine runs."
        return Shown(lead, "", [], "", [], further)
    lead = f"What the build found out about engine {report.engine} on {report.frames} golden frames."
    layers = report.layers
    rows = [] if layers is None else _layers(layers)
    title = "" if layers is None else _title(layers, len(rows))
    outputs = [_output(output) for output in report.outputs]
    return Shown(lead, report.verdict, outputs, title, rows, [*_sentences(report), *further])


def _output(found: OutputParity) -> OutputRow:
    distance, limit, noise = (f"{value:.2g}" for value in (found.distance, found.limit, found.noise))
    return OutputRow(found.output, _KINDS[found.kind], distance, limit, noise, found.verdict)


_KINDS = {
    "dense": "dense: relative L2",
    "labels": "labels: share that differs",
    "ranking": "ranking: share that one side lacks",
    "set": "set: share without a partner",
}


def _layers(found: LayersReport) -> list[LayerRow]:
    return [_layer(layer) for layer in found.departed or found.worst[:LAYERS]]


def _layer(found: LayerParity) -> LayerRow:
    name = found.nodes[0] if found.nodes else found.layer
    width = min(100.0, 100 * found.steps / found.limit) if found.limit > 0 else 100.0
    return LayerRow(name, found.module, found.op, f"{found.steps:.3g}", f"{found.limit:g}", width, found.verdict)


def _title(found: LayersReport, rows: int) -> str:
    if found.mode == "outputs only":
        return "Outputs only"
    if found.departed:
        return f"{rows} of {found.compared} layers depart; the first is to blame"
    return f"The worst {rows} of {found.compared} layers" if rows < found.compared else f"All {rows} layers"


def _sentences(report: VerifyReport) -> Iterator[str]:
    layers, judge = report.layers, report.agreement
    if layers is not None and layers.mode == "outputs only":
        yield f"No layer was compared: {layers.reason}."
    yield _agreement_sentence(judge) if judge is not None else "What the task makes of the engine was not asked."
    if report.verdict == "pass" and any(output.verdict == "fail" for output in report.outputs):
        yield (
            "An output is over its limit although no layer is: roundings add up, and the KPIs on accuracy have "
            "the last word."
        )


def _agreement_sentence(found: Agreement) -> str:
    more = "; these frames are too few to say more" if found.verdict == "undecided" else ""
    if found.empty == found.frames:
        more = "; the task finds nothing on any of them, so nothing was compared"
    return (
        f"Second check, what the task makes of engine and typed model on {found.frames} calibration frames: "
        f"{words.small_share(found.disagreement)} {found.measure} (worst frame {words.small_share(found.worst)}), "
        f"allowed {words.small_share(found.limit)}; INT8 itself changes {words.small_share(found.noise)}: "
        f"{found.verdict}{more}."
    )
