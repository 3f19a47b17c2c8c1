"""``edgekit schema``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from edgekit.cli.console import print_json, single

OfOption = Annotated[
    str,
    typer.Option(
        "--of",
        help="spec; or a command: compress, sensitivity, evaluate, profile, verify, gate, history, result; "
        "or a file of a bundle: bundle, manifest, parity, contest, predictions, input-statistics.",
    ),
]


def documents() -> dict[str, Any]:
    """The type of every document that has a published schema, by the name that ``--of`` takes."""
    from edgekit.bundle import Contents
    from edgekit.bundle.manifest import Manifest
    from edgekit.core.decoded import PredictionsDocument
    from edgekit.core.reports import DOCUMENTS, Contest, EngineProof, HistoryReport, ResultReport
    from edgekit.core.spec import Spec
    from edgekit.evaluation.input_statistics import InputStatistics

    printed: dict[str, Any] = {"spec": Spec, **DOCUMENTS, "history": HistoryReport, "result": ResultReport}
    files: dict[str, Any] = {"bundle": Contents, "manifest": Manifest, "parity": tuple[EngineProof, ...]}
    files |= {"contest": Contest}
    return printed | files | {"predictions": PredictionsDocument, "input-statistics": InputStatistics}


def schema(of: OfOption = "spec") -> None:
    """Print the JSON Schema of the spec, of a command's --json document, or of a file in a bundle."""
    from pydantic import TypeAdapter

    from edgekit.core.errors import InputError
    from edgekit.core.suggest import allowed

    known = documents()
    if of not in known:
        raise InputError(f"--of: no document {of!r}; {allowed(of, tuple(known))}")
    print_json(TypeAdapter(known[of]).json_schema())


command = single(schema)
