"""``edgekit schema``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from edgekit.cli.console import print_json, single

OfOption = Annotated[
    str,
    typer.Option(
        "--of",
        help="spec; or a command: compress, sensitivity, evaluate, profile, verify, gate, history; "
        "or a file of a bundle: bundle, manifest, parity, predictions.",
    ),
]


def schema(of: OfOption = "spec") -> None:
    """Print the JSON Schema of the spec, of a command's --json document, or of a file in a bundle."""
    from pydantic import TypeAdapter

    from edgekit.bundle import Contents
    from edgekit.bundle.manifest import Manifest
    from edgekit.core.decoded import PredictionsDocument
    from edgekit.core.errors import InputError
    from edgekit.core.reports import DOCUMENTS, EngineProof, HistoryReport
    from edgekit.core.spec import Spec
    from edgekit.core.suggest import allowed

    documents: dict[str, Any] = {"spec": Spec, **DOCUMENTS, "history": HistoryReport}
    documents |= {"bundle": Contents, "manifest": Manifest, "parity": tuple[EngineProof, ...]}
    documents |= {"predictions": PredictionsDocument}
    if of not in documents:
        raise InputError(f"--of: no document {of!r}; {allowed(of, tuple(documents))}")
    print_json(TypeAdapter(documents[of]).json_schema())


command = single(schema)
