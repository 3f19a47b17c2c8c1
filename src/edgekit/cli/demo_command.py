"""``edgekit demo``."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import typer

from edgekit.cli.console import Bars, JsonOption, VerboseOption, print_json, print_table, single

OutOption = Annotated[Path, typer.Option(help="Folder for the demo project and its results.")]
PICTURES = 6


def demo(out: OutOption = Path("edgekit-demo"), as_json: JsonOption = False, verbose: VerboseOption = False) -> None:
    """The whole pipeline on a small segmentation model and rendered driving scenes.

    Writes the project, its bundle and overlay pictures into a folder; the spec there is yours to change.
    """
    from edgekit import pipeline
    from edgekit.kpis import words
    from edgekit.reporting import comparison

    bars = Bars(verbose)
    _copy_project(out)
    bundle = pipeline.build(out / "edgekit.yaml", "cpu", progress=bars)
    evaluated = pipeline.evaluate(bundle, progress=bars)
    profiled = pipeline.profile(bundle, progress=bars)
    gated = pipeline.gate(bundle, evaluated, profiled)
    frames = bundle.contents.evaluation.model_copy(update={"count": PICTURES}).open()
    pictures = pipeline.run(bundle, frames, out / "overlays", bars)
    if as_json:
        documents: dict[str, Any] = {
            "evaluate": evaluated.to_dict(),
            "profile": profiled.to_dict(),
            "gate": gated.to_dict(),
        }
        print_json({"bundle": str(bundle.path), "pictures": [str(drawn.picture) for drawn in pictures], **documents})
    else:
        title = f"Demo on {evaluated.frames} rendered scenes, ONNX Runtime, {bundle.contents.engine.threads} thread"
        print_table(title, ("", "FP32", "INT8", "change"), comparison(evaluated, profiled, gated, ("miou",)))
        print(f"bundle:   {bundle.path}\npictures: {out / 'overlays'} (left: INT8 engine, right: truth)")
        for kpi in gated.kpis:
            if kpi.verdict != "pass":
                print(
                    f"missed:   {words.title(kpi)}: {words.value(kpi)}, limit {words.limit(kpi)}: {words.verdict(kpi)}"
                )
        if bundle.race is not None and (advice := bundle.race.advice()):
            print(advice, file=sys.stderr)
    if gated.verdict != "pass":
        raise SystemExit(1)


def _copy_project(out: Path) -> None:
    """The example's files, as they are in the installed package or in a checkout."""
    from edgekit.core.artifacts import write_bytes
    from edgekit.core.errors import InputError

    installed = Path(str(resources.files("edgekit"))) / "examples" / "demo"
    source = installed if installed.is_dir() else Path(__file__).parents[3] / "examples" / "demo"
    for name in ("edgekit.yaml", "model.py", "weights.pth"):
        target = out / name
        content = (source / name).read_bytes()
        if target.exists() and target.read_bytes() != content:
            raise InputError(f"{target} was changed; run edgekit build on it, or choose another folder with --out")
        if not target.exists():
            write_bytes(target, content)


command = single(demo)
