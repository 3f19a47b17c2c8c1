"""``edgekit bundle``: inspect, create, sign, check, rebuild."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgekit.cli.build_command import AllowSlowerOption, document, refuse_slower, show
from edgekit.cli.console import APP_OPTIONS, Bars, BundleArgument, JsonOption, VerboseOption, print_json, print_table
from edgekit.cli.proofs import show_layers

if TYPE_CHECKING:
    from edgekit.stages.rebuild import Rebuilt

RebuiltOption = Annotated[
    Path | None, typer.Option("--out", help="Folder or .edgekit file to write; default: in place of BUNDLE.")
]
KeyOption = Annotated[Path, typer.Option(help="Ed25519 private key, PEM (openssl genpkey -algorithm ed25519).")]
PublicKeyOption = Annotated[Path, typer.Option("--public-key", help="Ed25519 public key, PEM, that you trust.")]
FileArgument = Annotated[Path, typer.Argument(help="The single file to write, e.g. model.edgekit.")]
_INTACT = "every hash matches"


def inspect(bundle: BundleArgument, as_json: JsonOption = False) -> None:
    """Show what is in a bundle: device, tools, inputs, parity, files."""
    from edgekit.bundle import DIRTY, GOLDEN, REVISION, SIGNATURE, open_bundle

    opened = open_bundle(bundle)
    signed = (opened.path / SIGNATURE).is_file()
    if as_json:
        print_json(
            {
                "manifest": dict(opened.manifest),
                "contents": opened.contents.model_dump(mode="json"),
                "signed": signed,
                "proofs": [proof.to_dict() for proof in opened.proofs],
            }
        )
        return
    contents, manifest = opened.contents, opened.manifest
    rows = [
        ("name", contents.name),
        ("target", contents.target),
        ("digest", opened.digest),
        ("signed", "yes" if signed else "no"),
    ]
    rows += [(f"input {s.name}", str(s)) for s in contents.inputs] + [
        (f"output {s.name}", str(s)) for s in contents.outputs
    ]
    for group in ("device", "tools", "inputs"):
        rows += [(f"{group} {key}", _text(value)) for key, value in manifest[group].items()]
    if opened.evaluation_data is not None:
        data = opened.evaluation_data
        rows += [("judged on", f"{data.format}, {data.frames:,} frames, {data.dataset_hash[:12]}")]
    if manifest.get(GOLDEN) is not None:
        origin = manifest[GOLDEN]
        kept = f"{origin['kept']} of them as they were read" if origin["kept"] else "none as it was read"
        rows += [("golden frames", f"{origin['format']}: {', '.join(origin['ids'])}; {kept}")]
    rows += [("made by", manifest["command"])]
    if manifest.get(REVISION):
        rows += [("commit", f"{manifest[REVISION]}{' with changes' if manifest.get(DIRTY) else ''}")]
    rows += [("rebuilt from", f"{parent['digest']} ({_facts(parent)})") for parent in opened.parents]
    rows += [(f"file {name}", f"{(opened.path / name).stat().st_size:,} bytes") for name in manifest["files"]]
    rows += [(f"proof {proof.engine}", proof.verdict) for proof in opened.proofs]
    if opened.race is not None:
        rows += [("proof of speed", opened.race.line())]
    print_table(str(bundle), ("", _INTACT), rows, _INTACT)
    for proof in opened.proofs:
        show_layers(proof)


def _facts(parent: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {_text(value)}" for key, value in parent["device"].items())


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def create(bundle: BundleArgument, file: FileArgument, as_json: JsonOption = False) -> None:
    """Pack a bundle folder into one file."""
    from edgekit.bundle import open_bundle, pack

    written = pack(open_bundle(bundle), file)
    print_json({"file": str(written)}) if as_json else print(f"wrote {written}")


def sign(bundle: BundleArgument, key: KeyOption, as_json: JsonOption = False) -> None:
    """Sign a bundle folder's manifest."""
    from edgekit.bundle import open_bundle
    from edgekit.bundle.signing import sign as sign_bundle
    from edgekit.core.errors import InputError

    if bundle.is_file():
        raise InputError(f"{bundle}: a packed bundle is not changed; sign the folder, then pack it with bundle create")

    path = sign_bundle(open_bundle(bundle), key)
    print_json({"signature": str(path)}) if as_json else print(f"wrote {path}")


def check(bundle: BundleArgument, public_key: PublicKeyOption, as_json: JsonOption = False) -> None:
    """Check a bundle's hashes and that the holder of a trusted key signed it."""
    from edgekit.bundle import open_bundle
    from edgekit.bundle.signing import check as check_signature

    opened = open_bundle(bundle)
    check_signature(opened, public_key)
    print_json({"bundle": opened.name, "digest": opened.digest, "signature": "valid"}) if as_json else print(
        f"{bundle}: every hash matches, the signature is valid"
    )


def rebuild(
    bundle: BundleArgument,
    out: RebuiltOption = None,
    allow_slower: AllowSlowerOption = False,
    as_json: JsonOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make a bundle's engines anew for this machine, from its typed models; needs no PyTorch.

    For a bundle that another runtime version, processor or GPU built. The new engines are proven against the
    bundle's golden outputs; models, KPIs and control stay. The result is not signed. Exit code 1 when parity fails,
    and then the old bundle stays; or when INT8 is not faster than the control that it has to beat.
    """
    from edgekit import pipeline
    from edgekit.bundle import SIGNATURE, open_bundle

    old = open_bundle(bundle)
    was_signed = (old.path / SIGNATURE).is_file()
    done = pipeline.rebuild(old, out, Bars(verbose))
    new = done.bundle
    signed = (new.path / SIGNATURE).is_file()
    if as_json:
        said = {"rebuilt": done.made, "parent": old.digest if done.made else None, "signed": signed}
        placed = {"placement": {"model": done.placement or None, "this_machine": done.wanted or None}}
        print_json(document(new) | {"bundle": str(new.given)} | said | placed)
    elif not done.made:
        print(f"{bundle}: its engines fit this machine; nothing was rebuilt")
    else:
        show(new)
        print(f"rebuilt from {old.identity}; " + _signature_line(new.given, signed, was_signed))
        if done.misplaced:
            print(_placement_line(done))
    if done.made:
        refuse_slower(new, allow_slower)


def _signature_line(path: Path, signed: bool, was_signed: bool) -> str:
    if signed:
        return "nothing changed, so its signature stays"
    lost = "the signature of the old bundle is not valid for it" if was_signed else "nobody signed it"
    return f"unsigned: {lost}; edgekit bundle sign {path} --key KEY.pem"


def _placement_line(done: Rebuilt) -> str:
    return (
        f"the INT8 model keeps its Q/DQ placement {done.placement}, and this machine would want {done.wanted}: INT8 "
        f"may be slower than it could be; for that one, where the spec is: profile: {done.wanted} under "
        f"targets.{done.bundle.contents.target}, then edgekit build"
    )


command = typer.Typer(help="Inspect, pack, sign, check and rebuild bundles.", no_args_is_help=True, **APP_OPTIONS)
for _function in (inspect, create, sign, check, rebuild):
    command.command()(_function)
