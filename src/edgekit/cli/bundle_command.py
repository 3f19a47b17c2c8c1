"""``edgekit bundle``: inspect, create, sign, check."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgekit.cli.console import APP_OPTIONS, BundleArgument, JsonOption, print_json, print_table
from edgekit.cli.proofs import race_line, show_layers

KeyOption = Annotated[Path, typer.Option(help="Ed25519 private key, PEM (openssl genpkey -algorithm ed25519).")]
PublicKeyOption = Annotated[Path, typer.Option("--public-key", help="Ed25519 public key, PEM, that you trust.")]
FileArgument = Annotated[Path, typer.Argument(help="The single file to write, e.g. model.edgekit.")]
_INTACT = "every hash matches"


def inspect(bundle: BundleArgument, as_json: JsonOption = False) -> None:
    """Show what is in a bundle: device, tools, inputs, parity, files."""
    from edgekit.bundle import SIGNATURE, open_bundle

    opened = open_bundle(bundle)
    signed = (opened.path / SIGNATURE).is_file()
    if as_json:
        print_json(
            {
                "manifest": dict(opened.manifest),
                "contents": opened.contents.model_dump(mode="json"),
                "signed": signed,
                "proofs": list(opened.proofs),
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
    rows += [("made by", manifest["command"])]
    rows += [(f"file {name}", f"{(opened.path / name).stat().st_size:,} bytes") for name in manifest["files"]]
    rows += [(f"proof {report['engine']}", str(report["verdict"])) for report in opened.proofs]
    if opened.race is not None:
        rows += [("proof of speed", race_line(opened.race))]
    print_table(str(bundle), ("", _INTACT), rows, _INTACT)
    for report in opened.proofs:
        show_layers(report)


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
    from edgekit.core.errors import InputError
    from edgekit.signing import sign as sign_bundle

    if bundle.is_file():
        raise InputError(f"{bundle}: a packed bundle is not changed; sign the folder, then pack it with bundle create")

    path = sign_bundle(open_bundle(bundle), key)
    print_json({"signature": str(path)}) if as_json else print(f"wrote {path}")


def check(bundle: BundleArgument, public_key: PublicKeyOption, as_json: JsonOption = False) -> None:
    """Check a bundle's hashes and that the holder of a trusted key signed it."""
    from edgekit.bundle import open_bundle
    from edgekit.signing import check as check_signature

    opened = open_bundle(bundle)
    check_signature(opened, public_key)
    print_json({"bundle": opened.name, "digest": opened.digest, "signature": "valid"}) if as_json else print(
        f"{bundle}: every hash matches, the signature is valid"
    )


command = typer.Typer(help="Inspect, pack, sign and check bundles.", no_args_is_help=True, **APP_OPTIONS)
for _function in (inspect, create, sign, check):
    command.command()(_function)
