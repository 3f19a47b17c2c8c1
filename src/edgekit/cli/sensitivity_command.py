"""``edgekit sensitivity``."""

from __future__ import annotations

from typing import Annotated

import typer

from edgekit.cli.compress_command import TargetOption
from edgekit.cli.console import (
    Bars,
    JsonOption,
    OutOption,
    SpecArgument,
    VerboseOption,
    print_json,
    print_table,
    single,
)
from edgekit.cli.reuse import FreshOption

MetricOption = Annotated[
    bool, typer.Option("--metric", help="Also measure each layer's loss of the task metric on data.validation; slow.")
]
PruneOption = Annotated[
    bool,
    typer.Option("--prune", help="Also what pruning each group of channels costs, and saves; needs data.validation."),
]
TopOption = Annotated[int, typer.Option("--top", min=1, help="Rows of the table.")]


def sensitivity(
    spec: SpecArgument,
    target: TargetOption = None,
    metric: MetricOption = False,
    prune: PruneOption = False,
    top: TopOption = 20,
    out: OutOption = None,
    fresh: FreshOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Which layers INT8 hurts: each is quantized alone; writes sensitivity.json and sensitivity.png."""
    from edgekit import pipeline
    from edgekit.core.specfile import spec_file

    found = pipeline.sensitivity(spec, target, metric, out, Bars(verbose), fresh, prune)
    if as_json:
        print_json(found.to_dict())
        return
    header = ("layer", "operator", "SQNR (dB)", "noise", *([f"{found.metric} drop"] if metric else []))
    rows = [
        (
            layer.module or layer.node,
            layer.op,
            f"{layer.sqnr_db:.1f}",
            f"{100 * layer.noise_share:.1f} %",
            *([f"{layer.drop:.4f}"] if layer.drop is not None else []),
        )
        for layer in found.layers[:top]
    ]
    print_table(f"{len(found.layers)} layers, the worst {len(rows)} of profile {found.profile}", header, rows)
    if found.groups:
        columns = ("channels of", "now", "narrowed", "cost", "saves (ms)")
        shown = [
            (_coupled(one.layers), str(one.channels), str(one.narrowed), f"{one.cost:.4g}", f"{one.saved_ms:.3g}")
            for one in found.groups[:top]
        ]
        print_table(f"{len(found.groups)} groups of channels, the cheapest {len(shown)} for their time", columns, shown)
    elif prune:
        print("no group of channels can lose one: each is as narrow as the target's widths allow")
    folder = out or spec_file(spec).parent / pipeline.ARTIFACTS
    for name in ("sensitivity.json", "sensitivity.png"):
        print(f"wrote {folder / name}")


def _coupled(layers: tuple[str, ...]) -> str:
    """The first layer of a group, and how many there are besides."""
    return layers[0] if len(layers) == 1 else f"{layers[0]} and {len(layers) - 1} more"


command = single(sensitivity)
