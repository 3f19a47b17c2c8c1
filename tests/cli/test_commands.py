"""Every command as a user types it: output for people, ``--json`` for programs, exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pytest

from edgekit import __version__
from edgekit.cli.main import COMMANDS
from edgekit.core.specfile import read_spec
from tests.bundle.test_signing import write_keys
from tests.support.projects import HEIGHT, WIDTH, write_frames
from tests.support.shell import COMMAND, ENVIRONMENT, Result, edgekit, error_of


def document(result: Result, code: int = 0) -> Any:
    """The one JSON document on stdout."""
    assert result.returncode == code, result.stderr
    return json.loads(result.stdout)


def test_help_names_every_command() -> None:
    page = edgekit("--help")
    assert page.returncode == 0
    lines = page.stdout.split("Commands:")[1].splitlines()
    listed = [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "]
    assert listed == list(COMMANDS)
    assert "..." not in page.stdout.split("Commands:")[1]


@pytest.mark.parametrize("command", [*COMMANDS, "bundle inspect", "bundle create", "bundle sign", "bundle check"])
def test_help_of_a_command(command: str) -> None:
    page = edgekit(*command.split(), "--help")
    assert page.returncode == 0
    assert page.stdout.startswith(f"Usage: edgekit {command}")


@pytest.mark.parametrize("words", [(), ("bundle",)])
def test_without_a_command_there_is_the_help_page(words: tuple[str, ...]) -> None:
    page = edgekit(*words)
    assert page.returncode == 2
    assert page.stderr == edgekit(*words, "--help").stdout


def test_version() -> None:
    assert edgekit("--version").stdout.strip() == f"edgekit {__version__}"


def test_unknown_command_and_option() -> None:
    unknown = edgekit("biuld")
    assert unknown.returncode == 2
    assert "no command 'biuld'; did you mean 'build'?" in unknown.stderr
    option = edgekit("gate", "x", "--jsn")
    assert option.returncode == 2
    assert "--json" in option.stderr
    assert "Traceback" not in option.stderr + unknown.stderr


def test_doctor() -> None:
    findings = {f["name"]: f for f in document(edgekit("doctor", "--json"))["findings"]}
    assert findings["ort/cpu"]["works"]
    assert "ran a model" in findings["ort/cpu"]["detail"]
    assert not findings["ort/cuda"]["works"] or "CUDA" in findings["ort/cuda"]["detail"]
    assert "python" in edgekit("doctor").stdout


def test_compress_build_and_reuse(tiny_project: Path) -> None:
    made = document(edgekit("compress", tiny_project, "--json"))
    assert sorted(made["models"]) == ["fp32", "int8"]
    assert all(Path(path).is_file() for path in (*made["models"].values(), made["golden"], made["calibration"]))
    assert not made["reused"]
    assert document(edgekit("compress", tiny_project, "--json"))["reused"]
    assert "unchanged" in edgekit("compress", tiny_project).stdout
    built = document(edgekit("build", tiny_project, "--target", "cpu", "--json", "--out", tiny_project / "out"))
    assert built["bundle"] == str(tiny_project / "out" / "tiny-cpu")
    assert built["precision"] == "int8"
    verbose = edgekit("build", tiny_project, "-t", "cpu", "-v")
    assert "next: edgekit gate" in verbose.stdout
    assert "export: unchanged, reused" in verbose.stderr


def test_verify_evaluate_profile(tiny_bundle: Path) -> None:
    verified = document(edgekit("verify", tiny_bundle, "--json"))
    assert verified["verdict"] == "pass"
    assert "logits" in edgekit("verify", tiny_bundle).stdout
    evaluated = document(edgekit("evaluate", tiny_bundle, "--json"))
    assert evaluated["metrics"]["miou"] > 0.9
    assert f"{evaluated['metrics']['miou']:.4f}" in edgekit("evaluate", tiny_bundle).stdout
    profiled = document(edgekit("profile", tiny_bundle, "--json", "--queries", 100))
    assert 0 < profiled["latency_ms"]["p50"] <= profiled["latency_ms"]["p99"]
    assert profiled["memory_mib"]["peak_rss"] > profiled["memory_mib"]["engine"]
    assert "FP32 control" in edgekit("profile", tiny_bundle, "--queries", 100).stdout


def test_gate_on_saved_documents(tiny_bundle: Path, tmp_path: Path) -> None:
    saved = {}
    for command in ("evaluate", "profile"):
        saved[command] = tmp_path / f"{command}.json"
        saved[command].write_text(edgekit(command, tiny_bundle, "--json").stdout)
    options = ("--evaluation", saved["evaluate"], "--profile", saved["profile"])
    passed = document(edgekit("gate", tiny_bundle, *options, "--json"))
    assert passed["verdict"] == "pass"
    assert {k["name"] for k in passed["kpis"]} == {"miou", "latency_p50_ms"}
    assert "PASS" in edgekit("gate", tiny_bundle, *options).stdout

    slow = json.loads(saved["profile"].read_text())
    slow["latency_ms"] |= {"p50": 5000.0, "p90": 5000.0, "p99": 5000.0, "intervals": {}}
    saved["profile"].write_text(json.dumps(slow))
    failed = document(edgekit("gate", tiny_bundle, *options, "--json"), code=1)
    assert {k["name"]: k["verdict"] for k in failed["kpis"]}["latency_p50_ms"] == "fail"

    saved["profile"].write_text(json.dumps(slow | {"bundle": "another"}))
    assert "measured on bundle 'another', not on 'tiny-cpu@" in error_of(edgekit("gate", tiny_bundle, *options), 2)
    saved["profile"].write_text("{}")
    assert "no document of edgekit profile (" in error_of(edgekit("gate", tiny_bundle, *options), 2)
    saved["profile"].unlink()
    assert "no such file" in error_of(edgekit("gate", tiny_bundle, *options), 2)


def test_run_writes_overlays(tiny_bundle: Path, tmp_path: Path) -> None:
    write_frames(tmp_path / "frames", count=3)
    out = tmp_path / "overlays"
    command = ("run", tiny_bundle, "--images", tmp_path / "frames/images", "--out", out)
    written = document(edgekit(*command, "--limit", 2, "--json"))
    assert len(written["pictures"]) == 2
    for path in written["pictures"]:
        picture = cv2.imread(path)
        assert picture.shape[1] >= WIDTH
        assert picture.shape[0] >= HEIGHT
    said = edgekit(*command).stdout.splitlines()
    assert said[-1] == f"wrote 3 pictures to {out}"
    for line, frame in zip(said, written["frames"], strict=False):
        assert line == f"{frame['id']}: {frame['found']['text']}"
        assert frame["picture"].endswith(f"{frame['id']}.png")
        assert frame["found"]["what"] == "pixels"
        assert sum(frame["found"]["numbers"].values()) == pytest.approx(1)


def test_bundle_commands(tiny_bundle: Path, tmp_path: Path) -> None:
    inspected = document(edgekit("bundle", "inspect", tiny_bundle, "--json"))
    assert inspected["manifest"]["name"] == "tiny"
    assert not inspected["signed"]
    assert inspected["manifest"]["digest"] in edgekit("bundle", "inspect", tiny_bundle).stdout.replace("\n", "")
    shown = edgekit("bundle", "inspect", tiny_bundle).stdout
    assert "image_mask: f0, f4; 2 of them as they were read" in shown
    (row,) = [line for line in shown.splitlines() if "device isa" in line]
    assert ", ".join(inspected["manifest"]["device"]["isa"]) in row
    single = tmp_path / "tiny.edgekit"
    assert document(edgekit("bundle", "create", tiny_bundle, single, "--json"))["file"] == str(single)
    assert document(edgekit("verify", single, "--json"))["verdict"] == "pass"
    key, public = write_keys(tmp_path, "ours")
    assert "not signed" in error_of(edgekit("bundle", "check", tiny_bundle, "--public-key", public), 2)
    assert edgekit("bundle", "sign", tiny_bundle, "--key", key).returncode == 0
    assert document(edgekit("bundle", "check", tiny_bundle, "--public-key", public, "--json"))["signature"] == "valid"


@pytest.mark.parametrize(
    "of", ["spec", "evaluate", "profile", "verify", "gate", "history", "bundle", "manifest", "predictions"]
)
def test_schema(of: str) -> None:
    schema = document(edgekit("schema", "--of", of))
    wanted = {"spec": "targets", "evaluate": "metrics", "profile": "latency_ms", "verify": "outputs", "gate": "kpis"}
    wanted |= {"history": "charts", "bundle": "candidate", "manifest": "files", "predictions": "frames"}
    assert wanted[of] in schema["properties"]


def test_schema_of_nothing() -> None:
    assert "no document 'gat'; did you mean 'gate'?" in error_of(edgekit("schema", "--of", "gat"), 2)


def test_init_makes_a_project_that_builds(tmp_path: Path) -> None:
    folder = tmp_path / "my project!"
    written = document(edgekit("init", folder, "--json"))
    assert [Path(path).name for path in written["files"]] == ["edgekit.yaml", "frames.py", "model.py"]
    spec = read_spec(folder / "edgekit.yaml")
    assert spec.name == "my-project"
    again = edgekit("init", tmp_path / "a b")
    assert f"edgekit build '{tmp_path}/a b/edgekit.yaml' --target cpu" in again.stdout
    assert "exists already; choose another folder" in error_of(edgekit("init", folder), 2)
    assert "no template for 'segmentaton'; did you mean" in error_of(
        edgekit("init", tmp_path / "x", "--task", "segmentaton"), 2
    )
    assert not (tmp_path / "x").exists()
    for script in ("model.py", "frames.py"):
        subprocess.run([sys.executable, folder / script], cwd=tmp_path, check=True)
    assert edgekit("build", folder, "-t", "cpu").returncode == 0
    gated = edgekit("gate", folder / "artifacts" / "my-project-cpu", "--json")
    assert gated.returncode == 1  # random weights
    assert json.loads(gated.stdout)["verdict"] == "fail"


def test_demo_keeps_a_changed_project(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "edgekit.yaml").write_text("name: mine\n")
    message = error_of(edgekit("demo", "--out", tmp_path / "demo"), 2)
    assert "edgekit.yaml was changed; run edgekit build on it, or choose another folder with --out" in message
    assert (tmp_path / "demo" / "edgekit.yaml").read_text() == "name: mine\n"


def test_standard_output_that_is_full() -> None:
    with Path("/dev/full").open("w") as full:
        words = [*COMMAND, "schema", "--of", "gate"]
        done = subprocess.run(
            words, env=os.environ | ENVIRONMENT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 3
    assert done.stderr.startswith("error: cannot write standard output: no space left on device")
    assert len(done.stderr.splitlines()) == 1
