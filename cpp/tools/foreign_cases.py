"""The cases of the C++ tests for another kind of processor: bundles whose engines run there.

    qemu-aarch64-static -L SYSROOT build/cpp/aarch64/test/backends/facts > facts.json
    PYTHONPATH=src python cpp/tools/foreign_cases.py build/cpp/cases build/cpp/cases-aarch64 facts.json

An engine is a graph that ONNX Runtime optimised for the processor that it was built on. In its place these bundles have
the typed model, which ONNX Runtime optimises when it loads it, and in their manifests the facts of the other machine.
All other cases are links to the first folder.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from edgekit.bundle import open_bundle, write_bundle


def rebind(source: Path, target: Path, facts: dict[str, Any]) -> None:
    """Write a bundle again, with its typed models as engines of the machine that ``facts`` describe."""
    bundle = open_bundle(source)
    contents = bundle.contents
    roles = [role for role in (contents.candidate, contents.control) if role is not None]
    files = {name: bundle.path / name for name in bundle.manifest["files"] if name != "bundle.json"}
    files |= {role.file: bundle.path / role.model for role in roles}
    manifest = {key: value for key, value in bundle.manifest.items() if key != "digest"}
    write_bundle(target, contents, files, manifest | {"device": facts})


def main(cases: Path, target: Path, facts: dict[str, Any]) -> None:
    shutil.rmtree(target, ignore_errors=True)
    (target / "golden").mkdir(parents=True)
    for path in cases.iterdir():
        if path.is_dir() and path.name != "golden":
            (target / path.name).symlink_to(path.resolve())
    for path in (cases / "golden").iterdir():
        if path.is_dir():
            rebind(path, target / "golden" / path.name, facts)
        else:
            shutil.copyfile(path, target / "golden" / path.name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("facts", type=Path)
    given = parser.parse_args()
    main(given.cases, given.target, json.loads(given.facts.read_text(encoding="utf-8")))
