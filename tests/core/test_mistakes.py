"""No word of the validator reaches a user: every kind of mistake has words of its own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, ValidationError
from pydantic_core import PydanticKnownError
from pydantic_core._pydantic_core import list_all_errors

from edgekit.core.errors import SpecError
from edgekit.core.mistakes import mistakes, words
from edgekit.core.specfile import read_spec
from tests.support.projects import SPEC

RAW = re.compile(r"Input|valid |should |tuple|dictionary|instance of|Field required|permitted|\bNone\b")
KINDS = {entry["type"]: entry for entry in list_all_errors()}


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"value_error", "assertion_error", "json_invalid"}))
def test_every_kind_has_words(kind: str) -> None:
    context = KINDS[kind].get("example_context") or {}
    message = PydanticKnownError(kind, context or None).message()  # type: ignore[arg-type]
    text = words({"type": kind, "msg": message, "ctx": context, "input": 3})
    assert text
    assert not RAW.search(text.replace(kind.replace("_", " "), "")), text
    assert text != message


class Part(BaseModel):
    model_config = {"extra": "forbid"}
    size: int
    kind: Literal["a", "b"] = "a"


class Model(BaseModel):
    model_config = {"extra": "forbid"}
    names: tuple[str, ...] | dict[str, str] | None = None
    output: str | tuple[str, ...] | Part = "x"
    many: dict[str, str | tuple[str, ...]] = Field(default_factory=dict)
    whole: int | None = None
    few: tuple[int, int] = (1, 2)


def found(**given: Any) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        Model.model_validate(given)
    return [f"{'.'.join(map(str, where))}: {words(item)}" for where, item in mistakes(caught.value, given)]


CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a number for a text in a list": ({"names": ["a", 3]}, ["names.1: expected a text, in quotes: '3'"]),
    "a truth for a text in a mapping": ({"names": {"a": True}}, ["names.a: expected a text, in quotes: 'true'"]),
    "none of the forms": ({"names": 3}, ["names: expected a list, [a, b] or a mapping, {key: value}"]),
    "none of three forms": ({"output": 3}, ["output: expected a text or a list, [a, b] or a mapping, {key: value}"]),
    "a key of a form is missing": ({"output": {"kind": "b"}}, ["output.size: this key is missing"]),
    "a key of a form is unknown": ({"output": {"size": 1, "sise": 2}}, ["output.sise: unknown key"]),
    "a word of a form": ({"output": {"size": 1, "kind": "c"}}, ["output.kind: expected 'a' or 'b'"]),
    "forms in a mapping": ({"many": {"x": ["a", 1]}}, ["many.x.1: expected a text, in quotes: '1'"]),
    "one form or nothing": ({"whole": "many"}, ["whole: expected a whole number"]),
    "too few": ({"few": [1]}, ["few.1: this key is missing"]),
    "several mistakes": (
        {"whole": 1.5, "names": 3, "few": "no"},
        [
            "names: expected a list, [a, b] or a mapping, {key: value}",
            "whole: expected a whole number",
            "few: expected a list, [a, b]",
        ],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_forms(case: str) -> None:
    given, expected = CASES[case]
    assert [line.split(" (did")[0] for line in found(**given)] == expected


SPECS = {
    "names": (
        "masks: data/masks}\n",
        "masks: data/masks, names: 3}\n",
        "data.evaluation.names: .*expected the class names",
    ),
    "numbers": ("masks: data/masks}\n", "masks: data/masks, names: [1, 2]}\n", "the class 0 has the name 1"),
    "map": ("masks: data/masks}\n", "masks: data/masks, map: [a]}\n", "data.evaluation.map: expected a mapping"),
    "a list for a mapping": ("{max: 1000}", "[1, 2]", r"kpis\.latency_p50_ms: expected a mapping, \{key: value\}"),
    "a mapping for a text": ("name: tiny", "name: {a: 1}", "name: expected a text"),
    "where": ("{max: 1000}", "{max: 1, where: {class: 17}}", r"where\.class: expected a text, in quotes: '17'"),
    "a text for a list": ("resize: [32, 48]", "resize: wide", r"preprocess\.image\.resize: expected a list, \[a, b\]"),
    "a list of another length": (
        "resize: [32, 48]",
        "resize: [1, 2, 3]",
        "expected at most 2 entries, found more",
    ),
    "empty": ("outputs: [logits]", "outputs: []", r"model\.outputs: expected at least 1 entries, found 0"),
    "true": ("threads: 1", "threads: [1]", r"targets\.cpu\.threads: expected a whole number"),
}


@pytest.mark.parametrize("case", SPECS)
def test_in_a_spec(case: str, tmp_path: Path) -> None:
    old, new, expected = SPECS[case]
    assert SPEC.count(old) == 1
    (tmp_path / "edgekit.yaml").write_text(SPEC.replace(old, new))
    with pytest.raises(SpecError) as caught:
        read_spec(tmp_path)
    for problem in caught.value.problems:
        assert not RAW.search(problem.replace(str(tmp_path), "")), problem
    assert any(re.search(expected, problem) for problem in caught.value.problems), caught.value.problems
