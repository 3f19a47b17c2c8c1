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
    """Run the bundle's engine on a folder of images: a line on what each shows, and an overlay picture of it."""
    from edgekit import pipeline
    from edgekit.data.images import Config

    frames = Config(format="images", root=images, limit=limit).open()
    drawn = pipeline.run(bundle, frames, out, Bars(verbose))
    if as_json:
        frames_found = [{"id": one.id, "picture": str(one.picture), "found": one.found.to_dict()} for one in drawn]
        print_json({"pictures": [str(one.picture) for one in drawn], "frames": frames_found})
        return
    for one in drawn:
        print(f"{one.id}: {one.found.text}")
    print(f"wrote {len(drawn)} pictures to {out}")


command = single(run)
