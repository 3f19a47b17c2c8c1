"""``edgekit image``: build and run container images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.console import APP_OPTIONS, JsonOption, print_json
from edgekit.core.errors import InputError

KindArgument = Annotated[str, typer.Argument(help="compress, runtime-cpu, runtime-orin or ros2.")]
BundleOption = Annotated[Path | None, typer.Option(help="A bundle folder or .edgekit file.")]
TagOption = Annotated[str, typer.Option(help="Name of the image; default: edgekit/KIND:VERSION.")]
BaseOption = Annotated[str, typer.Option(help="Image to build on; default: the Dockerfile's.")]
WheelsOption = Annotated[Path | None, typer.Option(help="Folder of wheels that pip prefers to its index.")]
ArgumentOption = Annotated[
    list[str] | None, typer.Option("--build-arg", help="NAME=VALUE for the Dockerfile; may be repeated.")
]
BuildNetworkOption = Annotated[str, typer.Option("--network", help="Network of the build; default: the daemon's.")]
PushOption = Annotated[bool, typer.Option("--push/--no-push", help="Push it to the registry of its name.")]

ImageArgument = Annotated[str, typer.Argument(metavar="TAG", help="The image.")]
CommandArgument = Annotated[list[str] | None, typer.Argument(help="For the image's entry point; after --.")]
NetworkOption = Annotated[str, typer.Option(help="none, bridge or host; ROS 2 needs host.")]
IpcOption = Annotated[str, typer.Option(help="host: shared memory with other ROS 2 processes.")]
WriteOption = Annotated[
    list[str] | None, typer.Option("--write", help="FOLDER:PLACE that the container may write to; may be repeated.")
]
EnvOption = Annotated[list[str] | None, typer.Option("--env", help="NAME=VALUE; may be repeated.")]
GpusOption = Annotated[bool, typer.Option("--gpus", help="Pass NVIDIA GPUs in.")]
UserOption = Annotated[str, typer.Option(help="uid:gid; default: the image's, 10001:10001.")]
NameOption = Annotated[str, typer.Option(help="Name of the container.")]
DetachOption = Annotated[bool, typer.Option("--detach", help="Leave it running, and print its name.")]


def build(
    kind: KindArgument,
    bundle: BundleOption = None,
    tag: TagOption = "",
    base: BaseOption = "",
    wheels: WheelsOption = None,
    build_arg: ArgumentOption = None,
    network: BuildNetworkOption = "",
    push: PushOption = False,
    as_json: JsonOption = False,
) -> None:
    """Build an image with the running edgekit and, with --bundle, a bundle in it."""
    from edgekit.images.building import Recipe
    from edgekit.images.building import build as built

    arguments = dict(_pair(one, "--build-arg", "=") for one in build_arg or ())
    made = built(Recipe(kind, tag, bundle, base, wheels, arguments, network, push), _tell)
    if as_json:
        print_json(made.to_dict())
        return
    holds = f", holds {made.bundle}" if made.bundle else ""
    print(f"built {made.tag}: {made.size_mib:.0f} MiB on disk{holds}" + (", pushed" if made.pushed else ""))


def run(
    tag: ImageArgument,
    command: CommandArgument = None,
    bundle: BundleOption = None,
    network: NetworkOption = "none",
    ipc: IpcOption = "",
    write: WriteOption = None,
    env: EnvOption = None,
    gpus: GpusOption = False,
    user: UserOption = "",
    name: NameOption = "",
    detach: DetachOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run an image without root, on a read-only file system; ends with the container's exit code."""
    from edgekit.images.running import Running, start

    folders = [_pair(one, "--write", ":") for one in write or ()]
    writable = tuple((Path(host), inside) for host, inside in folders)
    how = Running(tag, tuple(command or ()), bundle, writable, network, ipc, gpus, tuple(env or ()), user, name)
    stream = sys.stderr if as_json else sys.stdout

    def heard(part: bytes) -> None:
        stream.write(part.decode(errors="replace"))
        stream.flush()

    ran = start(how, heard, detach)
    if as_json:
        print_json({"image": ran.tag, "container": ran.container, "exit_code": ran.exit_code})
    elif detach:
        print(ran.container)
    if ran.exit_code:
        raise SystemExit(ran.exit_code)


def _pair(text: str, option: str, between: str) -> tuple[str, str]:
    left, found, right = text.partition(between)
    if not (left and found and right):
        raise InputError(f"{option} {text!r}: expected two parts with {between!r} between them")
    return left, right


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


command = typer.Typer(no_args_is_help=True, help="Container images: build one, run one.", **APP_OPTIONS)
for _function in (build, run):
    command.command()(_function)
