"""``edgekit run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.console import Bars, BundleArgument, JsonOption, VerboseOption, print_json, single
from edgekit.core.errors import InputError


def _folder(images: Path) -> Path:
    if not images.is_dir():
        problem = "is a file" if images.exists() else "no such folder"
        raise InputError(f"--images {images}: {problem}; name a folder of images")
    return images


ImagesOption = Annotated[Path, typer.Option(callback=_folder, help="A folder of images.")]
OutOption = Annotated[Path, typer.Option(help="Folder for the overlay pictures.")]
LimitOption = Annotated[int | None, typer.Option(help="At most this many images.", min=1)]


def run(
    bundle: BundleArgument,
    images: ImagesOption,
    out: OutOption = Path("overlays"),
    limit: LimitOption = None,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Run the bundle's engine on a folder of images and write an overlay picture of each."""
    from edgekit import pipeline
    from edgekit.data.images import Config

    frames = Config(format="images", root=images, limit=limit).open()
    written = pipeline.run(bundle, frames, out, Bars(verbose))
    if as_json:
        print_json({"pictures": [str(path) for path in written]})
        return
    print(f"wrote {len(written)} pictures to {out}")


command = single(run)
