"""``edgekit build --host``: from the spec to a bundle whose engines were built and proven on the board."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import edgekit
from tests.support import shell
from tests.support.loopback import HOST, Loopback


def trt_project(project: Path) -> Path:
    file = project / "edgekit.yaml"
    target = "cpu: {engine: trt, device: orin-agx-64gb}"
    text = file.read_text()
    assert text.count("cpu: {engine: ort, threads: 1}") == 1
    file.write_text(text.replace("cpu: {engine: ort, threads: 1}", target))
    return project


def test_a_bundle_from_a_board_with_trtexec_alone(board: Loopback, tiny_project: Path) -> None:
    board.trtexec("10.3.0")
    made = shell.edgekit("build", trt_project(tiny_project), "--target", "cpu", "--host", HOST, "--json")
    assert made.returncode == 0, made.stderr
    document = json.loads(made.stdout)
    assert (document["precision"], document["verified"]) == ("int8", True)
    assert board.left() == []
    bundle = edgekit.open_bundle(Path(document["bundle"]))
    files = {path.name for path in (bundle.path / "engines").iterdir()}
    extra = ("", ".cache", ".json", ".layers.json", ".log", ".profile.json", ".remote.json", ".summary.json")
    assert {f"int8.engine{name}" for name in extra} <= files
    assert bundle.manifest["device"] == {
        "engine": "trt",
        "flavour": "tensorrt",
        "tensorrt": "10.3.0",
        "compute_capability": "8.7",
    }
    reports = json.loads((bundle.path / "parity.json").read_text())
    assert [report["verdict"] for report in reports] == ["pass", "pass"]
    assert [(r["achieved"]["precision"], r["achieved"]["verdict"]) for r in reports] == [
        ("int8", "pass"),
        ("fp16", "fail"),  # the stand-in knows no FP16
    ]
    assert document["achieved"]["missed_layers"] == 0 < bundle.built["layers"]
    assert (document["race"]["verdict"], document["race"]["by"], document["race"]["control"]) == (
        "undecided",
        "trtexec",
        "fp16",
    )
    assert document["race"]["speedup_p50"] == pytest.approx(2, rel=1e-4)
    # The bundle goes to other boards of the kind; it does not say whose this one was.
    assert bundle.contents.engine.host is None
    assert not [path for path in bundle.path.rglob("*") if path.is_file() and HOST.encode() in path.read_bytes()]


def test_medians_of_int8_that_gains_nothing_decide_nothing(board: Loopback, tiny_project: Path) -> None:
    board.trtexec("10.3.0", "slow")
    command = ("build", trt_project(tiny_project), "--target", "cpu", "--host", HOST)
    made = shell.edgekit(*command)
    assert made.returncode == 0
    numbers = "int8 p50 4.297 ms, its FP16 control 4.297 ms: 1.00x as fast (medians of trtexec, not in turn): undecided"
    assert f"INT8 may not pay on this target: {numbers}; decide it on the target with: edgekit profile" in made.stderr
    bundle = edgekit.open_bundle(tiny_project / "artifacts" / "tiny-cpu")
    assert bundle.race is not None
    assert bundle.race.verdict == "undecided"
    # The control itself has nothing to beat.
    file = tiny_project / "edgekit.yaml"
    file.write_text(file.read_text().replace("device: orin-agx-64gb", "device: orin-agx-64gb, precision: fp16"))
    alone = shell.edgekit(*command, "--json")
    assert (alone.returncode, json.loads(alone.stdout)["race"]) == (0, None)


def test_int8_layers_that_run_wider_are_shown(board: Loopback, tiny_project: Path) -> None:
    board.trtexec("11.1.0", "wide")
    project = trt_project(tiny_project)
    file = project / "edgekit.yaml"
    file.write_text(file.read_text().replace("{engine: trt, device: orin-agx-64gb}", "{engine: trt}"))
    made = shell.edgekit("build", project, "--target", "cpu", "--host", HOST, "--allow-slower")
    assert made.returncode == 0, made.stderr
    assert "int8 layers: fail" in made.stdout
    shown = shell.edgekit("bundle", "inspect", project / "artifacts" / "tiny-cpu").stdout
    assert "int8 layers: fail" in shown
    assert "wider than asked" in shown
    assert "CaskConvolution" in shown


def test_a_board_that_does_not_answer_costs_no_work(board: Loopback, tiny_project: Path) -> None:
    before = shell.listing(trt_project(tiny_project))
    refused = shell.edgekit("build", tiny_project, "--target", "cpu", "--host", HOST)
    message = shell.error_of(refused, 3)
    assert message.startswith(f"{HOST}: nothing there can build the engine")
    assert shell.listing(tiny_project) == before


def test_a_host_for_a_backend_that_has_none(tiny_project: Path) -> None:
    refused = shell.edgekit("build", tiny_project, "--target", "cpu", "--host", HOST)
    assert "--host: targets.cpu has engine ort" in shell.error_of(refused, 2)
