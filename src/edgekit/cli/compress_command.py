"""``edgekit compress``."""

from __future__ import annotations

from edgekit.cli.console import Bars, JsonOption, OutOption, SpecArgument, VerboseOption, print_json, single


def compress(
    spec: SpecArgument, out: OutOption = None, as_json: JsonOption = False, verbose: VerboseOption = False
) -> None:
    """Load the model, quantize and export it: typed ONNX, golden inputs and outputs, calibration record."""
    from edgekit import pipeline

    made = pipeline.compress(spec, out, Bars(verbose))
    if as_json:
        models = {precision: str(path) for precision, path in made.models.items()}
        calibration = str(made.calibration) if made.calibration else None
        print_json(
            {
                "path": str(made.path),
                "models": models,
                "golden": str(made.golden),
                "calibration": calibration,
                "reused": made.reused,
            }
        )
        return
    print(
        f"{'unchanged' if made.reused else 'wrote'} {made.path}: "
        + ", ".join(sorted(p.name for p in made.path.iterdir()))
    )


command = single(compress)
