"""``edgekit history`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import ANY

import numpy as np
from pydantic import TypeAdapter

from edgekit.core.reports import HistoryReport
from tests.history.test_record_runs import add, opened
from tests.support.nights import evaluation, profile
from tests.support.shell import edgekit, error_of


def test_runs_and_a_drift(history_file: Path) -> None:
    history = opened(history_file)
    noise = np.random.default_rng(0).normal(size=20) * 0.001
    runs = [
        add(history, evaluation=evaluation(level + wobble, "d2"), profile=profile(10 + 100 * wobble))
        for level, wobble in zip([0.7] * 12 + [0.68] * 8, noise, strict=True)
    ]
    step = runs[12]

    page = edgekit("history", "--history", history_file)
    assert page.returncode == 0, page.stderr
    assert "22 runs" in page.stdout
    assert "newest is" in page.stdout
    assert "inside the limits" in page.stdout
    newest = edgekit("history", "--history", history_file, "--limit", 1)
    assert newest.stdout.startswith("1 run\n")
    assert f"camvid-seg-cpu: miou worse since 2096-10-15 07:06 (run {step[:8]}): 0.7 to 0.6795, " in page.stdout
    assert "miou: 2 runs on other data or another machine left out" in page.stdout

    words = ("history", "--history", history_file, "--metric", "miou", "--metric", "latency_p50_ms", "--limit", 20)
    document = json.loads(edgekit(*words, "--json").stdout)
    assert [len(document["runs"]), document["runs"][0]["id"]] == [20, runs[-1]]
    accuracy, latency = document["charts"]
    assert [c["run"] for c in accuracy["changes"]] == [step]
    assert accuracy["start"] == accuracy["changes"][0]["index"] == 12
    assert (latency["changes"], latency["series"]["unit"], len(latency["series"]["values"])) == ([], "ms", 20)
    assert [(one["metric"], one["change"]["run"]) for one in document["worse"]] == [("miou", step)]
    assert TypeAdapter(HistoryReport).validate_python(document).to_dict() == {
        **document, "runs": tuple(document["runs"]), "charts": ANY, "worse": ANY
    }  # fmt: skip

    checked = edgekit(*words, "--json", "--check")
    assert checked.returncode == 1
    assert json.loads(checked.stdout) == document
    expected = (
        f"worse and not made up for: camvid-seg-cpu miou was 0.7 before run {step[:8]} of 2096-10-15 07:06 and is"
    )
    assert expected in checked.stderr
    assert edgekit("history", "--history", history_file, "--metric", "latency_p50_ms", "--check").returncode == 0


def test_no_history(tmp_path: Path) -> None:
    message = error_of(edgekit("history", "--history", tmp_path / "none.db", "-t", "cpu"), 2)
    assert message == f"history {tmp_path}/none.db: no run of cpu is recorded; name another with --history"


def test_an_unknown_metric(history_file: Path) -> None:
    message = error_of(edgekit("history", "--history", history_file, "--metric", "mioo", "--json"), 2)
    assert message.startswith("no recorded run has 'mioo'; did you mean 'miou'? (one of ")
