"""Reports: frozen to the last value, told by their schema, and readable as they were written before they were types.

``tests/golden/documents`` was written by edgekit before its reports had types: ``edgekit build``, ``profile`` (with
``--layers``, and under traffic with ``--leak``), ``evaluate`` and ``gate`` of the tiny project, lists cut short.
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from edgekit.core import reports
from edgekit.core.reports import (
    DOCUMENTS,
    EngineProof,
    GateReport,
    HistoryReport,
    ProfileReport,
    Race,
    Settings,
    Traffic,
    VerifyReport,
)
from edgekit.kpis import measured
from tests.support.shell import edgekit

OLD = Path(__file__).parents[1] / "golden" / "documents"
KINDS: dict[str, Any] = {
    "parity": tuple[EngineProof, ...],
    "profile": ProfileReport,
    "traffic": ProfileReport,
    "gate": GateReport,
    "evaluate": reports.EvaluateReport,
}


def old(name: str) -> tuple[Any, Any]:
    """A document as it was written, and as it is read."""
    text = (OLD / f"{name}.json").read_text()
    return json.loads(text), TypeAdapter(KINDS[name]).validate_json(text)


def lost(before: Any, now: Any, where: str = "") -> Iterator[str]:
    """What a document said that is not the same under the same name now; what is new is no loss."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name, value in before.items():
            yield from lost(value, now.get(name, "nothing"), f"{where}.{name}")
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for at, pair in enumerate(zip(before, now, strict=True)):
            yield from lost(*pair, f"{where}[{at}]")
    elif before != now:
        yield f"{where}: {before!r} became {now!r}"


@pytest.mark.parametrize("name", KINDS)
def test_a_document_from_before_keeps_every_field(name: str) -> None:
    written, report = old(name)
    again = [one.to_dict() for one in report] if isinstance(report, tuple) else report.to_dict()
    assert list(lost(written, json.loads(json.dumps(again)))) == []


def test_what_was_read_is_judged_as_before() -> None:
    _, profile = old("traffic")
    assert {"late_share", "leak_kib_per_1000"} <= set(measured(None, profile, ()))
    _, (candidate, control) = old("parity")
    assert candidate.race is not None
    assert (control.race, control.parity().verdict) == (None, "pass")
    assert candidate.race.line().startswith("int8 p50 ")


def test_a_race_of_before_the_openings_were_kept() -> None:
    document, _ = old("gate")
    del document["race"]["openings"]
    found = TypeAdapter(GateReport).validate_python(document).race
    assert found is not None
    assert found.openings is None
    assert "queries of each in turn)" in found.line()


def test_an_engine_that_was_not_run_has_no_parity() -> None:
    written = [{"engine": "int8", "verdict": "not run", "reason": "no GPU", "achieved": None, "race": None}]
    (proof,) = TypeAdapter(tuple[EngineProof, ...]).validate_python(written)
    assert (proof.reason, proof.parity()) == ("no GPU", None)
    report = VerifyReport("", "int8", 2, (), "pass")
    assert EngineProof.of(report).parity() == report


def test_settings_of_a_backend_that_says_more_than_others() -> None:
    found = Settings.of({"engine": "toy", "threads": 2, "pin": [0, 3], "tiles": 8}, queries=5, frames=3, loads=2)
    assert (found.engine, found.threads, found.pin, found.more) == ("toy", 2, (0, 3), {"tiles": 8})
    assert (found.queries, found.frames, found.loads) == (5, 3, 2)
    assert TypeAdapter(Settings).validate_json(json.dumps(found.to_dict())) == found


def _types(kind: Any, seen: set[type]) -> Iterator[tuple[str, Any]]:
    """Every field of a document's types, and what it holds."""
    for inner in typing.get_args(kind):
        yield from _types(inner, seen)
    if not dataclasses.is_dataclass(kind) or kind in seen:
        return
    assert isinstance(kind, type)
    seen.add(kind)
    for name, hint in typing.get_type_hints(kind).items():
        yield f"{kind.__name__}.{name}", hint
        yield from _types(hint, seen)


def _open(hint: Any) -> bool:
    return hint is Any or any(_open(inner) for inner in typing.get_args(hint))


def test_no_document_has_an_open_dictionary_and_all_are_frozen() -> None:
    seen: set[type] = set()
    kinds = (*DOCUMENTS.values(), HistoryReport, EngineProof)
    fields = [field for kind in kinds for field in _types(kind, seen)]
    assert [name for name, hint in fields if _open(hint)] == []
    assert {Traffic, Race, Settings} <= seen
    for kind in seen:
        assert kind.__dataclass_params__.frozen, kind  # type: ignore[attr-defined]
        assert kind.__doc__


@pytest.mark.parametrize("of", ["profile", "gate", "parity"])
def test_schemas_describe_every_part(of: str) -> None:
    result = edgekit("schema", "--of", of)
    assert result.returncode == 0, result.stderr
    schema = json.loads(result.stdout)
    wanted = {
        "profile": {"Traffic", "PowerReport", "LeakReport", "Settings", "MachineReport", "ControlProfile"},
        "gate": {"KpiLimit", "Race"},
        "parity": {"EngineProof", "Achieved", "LayerPrecision", "Race", "LayersReport"},
    }
    assert wanted[of] <= set(schema["$defs"])
    assert 'additionalProperties": true' not in result.stdout
