"""A target ``engine: auto``: every runtime is built and proven, they race, and the bundle is the fastest one's."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

import edgekit
from edgekit.cli import build_command
from edgekit.core.artifacts import sha256_file
from edgekit.core.errors import CheckFailed, DataError, EdgekitError, MissingRequirement, ModelError, OutputError
from edgekit.core.reports import Contest
from edgekit.engine import ort, ov
from edgekit.engine.ov import session
from edgekit.stages import build, contest
from edgekit.stages.contest import Entry, champion, each
from edgekit.stats.faster import EACH, OPENINGS
from tests.support import shell

ORT = Entry(ort.Backend(ort.Config(engine="ort")))
OV = Entry(ov.Backend(ov.Config(engine="ov")))


def times(level_ms: float, spread: float = 0.01, seed: int = 0) -> list[float]:
    """Milliseconds in as many equal parts as there are openings, which differ by ``spread``."""
    openings = np.random.default_rng(seed).normal(level_ms, spread * level_ms, OPENINGS)
    found: list[float] = openings.repeat(EACH).tolist()
    return found


class TestChampion:
    def test_the_fastest(self) -> None:
        assert champion({"a": times(3), "b": times(2, seed=1), "c": times(1, seed=2)}) == "c"
        assert champion({"a": times(1), "b": times(2, seed=1), "c": times(3, seed=2)}) == "a"

    def test_chance_puts_nobody_in_anothers_place(self) -> None:
        assert champion({"a": times(1.01), "b": times(1.0, seed=1)}) == "a"
        assert champion({"a": times(1.3, 0.5), "b": times(1.0, 0.5, seed=1)}) == "a"


class TestEach:
    def refusing(self, error: EdgekitError, *engines: str) -> Callable[[Entry], Entry]:
        def step(entry: Entry) -> Entry:
            if entry.engine in engines:
                raise error
            return entry

        return step

    @pytest.mark.parametrize("error", [CheckFailed("departs"), ModelError("x"), MissingRequirement("it", note="no")])
    def test_who_fails_is_out_and_not_asked_again(self, error: EdgekitError) -> None:
        found = each((ORT, OV), self.refusing(error, "ort"))
        assert [entry.error for entry in found] == [error, None]
        assert each(found, self.refusing(ModelError("asked again"), "ort")) == found

    def test_the_last_one_fails_as_alone(self) -> None:
        with pytest.raises(CheckFailed, match="departs"):
            each((ORT, OV), self.refusing(CheckFailed("departs"), "ort", "ov"))
        with pytest.raises(CheckFailed, match="departs"):
            each((ORT,), self.refusing(CheckFailed("departs"), "ort"))

    @pytest.mark.parametrize("error", [OutputError("full"), DataError("cannot be read")])
    def test_what_is_everybodys_is_nobodys_fault(self, error: EdgekitError) -> None:
        with pytest.raises(type(error)):
            each((ORT, OV), self.refusing(error, "ov"))


@pytest.fixture
def project(tiny_project: Path) -> Path:
    """The tiny project whose target names the machine alone."""
    pytest.importorskip("openvino")
    file = tiny_project / "edgekit.yaml"
    file.write_text(file.read_text().replace("{engine: ort, threads: 1}", "{engine: auto, threads: 1}"))
    return tiny_project


def raced(monkeypatch: pytest.MonkeyPatch, level_ms: Mapping[str, float]) -> list[dict[str, str]]:
    """Give every race these times; what ran in each, by name the engine's file."""
    seen: list[dict[str, str]] = []

    def run(openers: Mapping[str, Any], feeds: Mapping[str, Any], *counts: int) -> dict[str, Sequence[float]]:
        seen.append({name: opener.args[0].name for name, opener in openers.items()})
        assert openers.keys() == feeds.keys()
        return {name: times(level_ms[name], seed=number) for number, name in enumerate(openers)}

    monkeypatch.setattr(contest, "opened_in_turn", run)
    return seen


OV_WINS = {"ort": 2.0, "ort control": 3.0, "ov": 1.0, "ov control": 1.5}


def contest_of(project: Path) -> Contest:
    document = json.loads((project / "artifacts" / "tiny-cpu" / "contest.json").read_text())
    return TypeAdapter(Contest).validate_python(document)


@pytest.mark.slow
class TestBuild:
    def test_the_fastest_is_in_the_bundle_and_all_are_in_the_report(
        self, project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen = raced(monkeypatch, OV_WINS)
        bundle = edgekit.build(project, "cpu")
        assert isinstance(bundle.contents.engine, ov.Config)
        (ran,) = seen
        assert ran == {
            "ort": "int8.ort.onnx",
            "ort control": "fp32.ort.onnx",
            "ov": "int8.ov",
            "ov control": "fp32.ov",
        }
        found = bundle.contest
        assert found is not None
        assert (found.chosen, found.openings, found.queries) == ("ov", OPENINGS, OPENINGS * EACH)
        loser, winner = found.contenders
        assert (loser.engine, loser.verdict, loser.precision, loser.control) == ("ort", "slower", "int8", "fp32")
        assert (winner.engine, winner.verdict, winner.placement) == ("ov", "chosen", OV.backend.quantization_profile())
        assert loser.placement == ORT.backend.quantization_profile() == "ort-x86"
        assert loser.device["engine"] == "ort"
        assert loser.timed is not None
        assert loser.timed.behind == pytest.approx(2, rel=0.03)
        assert loser.timed.behind_interval.low is not None
        assert 1.9 < loser.timed.behind_interval.low <= loser.timed.behind
        assert loser.timed.speedup_p50 == pytest.approx(1.5, rel=0.03)
        assert "the chosen one is 2." in loser.reason
        assert {path.name.split(".")[1] for path in (bundle.path / "engines").iterdir()} == {"ov"}
        assert winner.size_mib == (bundle.path / "engines/int8.ov").stat().st_size / 2**20

        # What is published is the winner's; the loser's model is a further export.
        folder = project / "artifacts" / "tiny-compressed"
        assert sha256_file(folder / "int8.onnx") == sha256_file(bundle.path / "models" / "int8.onnx")
        assert (folder / "int8-ort-x86.onnx").is_file()

        # Nothing changed: every stage is reused, and nothing raced.
        again = edgekit.build(project, "cpu")
        assert all(stage.reused for stage in again.stages)
        assert len(seen) == 1
        assert again.digest == bundle.digest

    def test_a_contender_is_what_a_target_of_its_own_would_be(
        self, project: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        raced(monkeypatch, OV_WINS)
        edgekit.build(project, "cpu")
        file = project / "edgekit.yaml"
        for engine in ("ort", "ov"):
            text = file.read_text()
            file.write_text(text.replace("engine: auto", f"engine: {engine}"))
            alone = edgekit.compress(project)
            assert alone.reused
            file.write_text(text)

    def test_one_calibration_serves_all(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from edgekit.quantize import ptq

        raced(monkeypatch, OV_WINS)
        passes: list[int] = []

        def counted(*args: Any, real: Any = ptq.calibrate) -> Any:
            passes.append(len(args[1]))
            return real(*args)

        monkeypatch.setattr(ptq, "calibrate", counted)
        edgekit.compress(project)
        assert len(passes) == 1

    def test_a_runtime_that_is_missing_is_told_and_met_when_it_comes(
        self, project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        seen = raced(monkeypatch, OV_WINS)

        def missing(self: object) -> None:
            raise MissingRequirement("OpenVINO", session.INSTALL)

        with monkeypatch.context() as without:
            without.setattr(ov.Backend, "require", missing)
            bundle = edgekit.build(project, "cpu")
        (told,) = [record.message for record in caplog.records if "goes on without" in record.message]
        assert session.INSTALL in told
        assert isinstance(bundle.contents.engine, ort.Config)
        found = contest_of(project)
        assert [(one.engine, one.verdict) for one in found.contenders] == [("ort", "chosen"), ("ov", "absent")]
        assert session.INSTALL in found.contenders[1].reason
        assert (found.openings, found.contenders[0].timed, seen) == (None, None, [])

        assert isinstance(edgekit.build(project, "cpu").contents.engine, ov.Config)
        assert contest_of(project).chosen == "ov"

    def test_who_does_not_hold_parity_is_out(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        seen = raced(monkeypatch, OV_WINS)
        refused = {"ov"}

        def prove(backend: Any, *args: Any, real: Any = build.prove.prove) -> Any:
            if backend.config.engine in refused:
                raise CheckFailed(f"{backend.config.engine} is not its model")
            return real(backend, *args)

        monkeypatch.setattr(build.prove, "prove", prove)
        assert isinstance(edgekit.build(project, "cpu").contents.engine, ort.Config)
        found = contest_of(project).contenders
        assert [(one.engine, one.verdict, one.reason) for one in found] == [
            ("ort", "chosen", "no other runtime is left"),
            ("ov", "out", "ov is not its model"),
        ]
        assert seen == []
        refused.add("ort")
        with pytest.raises(CheckFailed, match="ort is not its model"):
            edgekit.build(project, "cpu", fresh=True)

    def test_a_rebuilt_bundle_is_of_another_machine(self, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        raced(monkeypatch, OV_WINS)
        bundle = edgekit.build(project, "cpu")
        made = edgekit.rebuild(bundle, project / "anew").bundle
        assert made.contest is None
        assert made.contents.engine == bundle.contents.engine


@pytest.mark.slow
class TestCommands:
    def test_from_build_to_gate(self, project: Path) -> None:
        """Nothing is simulated: whichever is faster on this machine now is in the bundle."""
        made = shell.edgekit("build", project, "--target", "cpu", "--json")
        assert made.returncode == 0, made.stderr
        told = json.loads(made.stdout)
        bundle = edgekit.open_bundle(project / "artifacts" / "tiny-cpu")
        assert told["engine"] == bundle.contents.engine.engine == told["contest"]["chosen"]
        assert {one["engine"] for one in told["contest"]["contenders"]} >= {"ort", "ov"}
        assert "not raced" not in made.stderr
        for command in ("verify", "evaluate", "gate"):
            done = shell.edgekit(command, bundle.path)
            assert done.returncode == 0, (command, done.stderr)
        ranked = shell.edgekit("sensitivity", project, "--json")
        assert json.loads(ranked.stdout)["profile"] == "ort-x86"

    def test_one_line_says_what_another_runtime_would_gain(
        self, tiny_project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def missing(self: object) -> None:
            raise MissingRequirement("OpenVINO", session.INSTALL)

        monkeypatch.setattr(ov.Backend, "require", missing)
        monkeypatch.setattr(ov.Backend, "gain", lambda self: "it is faster")
        build_command.build(tiny_project, "cpu")
        (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("not raced")]
        assert session.INSTALL in line
        assert "it is faster; with engine: auto" in line
        monkeypatch.setattr(ort.Backend, "hint", lambda self, source: f"it wants {source.name}")
        build_command.build(tiny_project, "cpu")
        (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("not raced")]
        assert line.endswith("; not used: it wants int8.onnx")
        build_command.build(tiny_project, "cpu", as_json=True)
        assert "not raced" not in "".join(capsys.readouterr())

    def test_killed_between_the_runtimes_it_goes_on(self, project: Path) -> None:
        process = shell.start("build", project / "edgekit.yaml", "--target", "cpu")
        try:
            while not list((project / ".edgekit").glob("engine-cpu-ort-*")):
                if process.poll() is not None:
                    pytest.skip("this machine was too busy to see the moment")
            process.send_signal(signal.SIGKILL)
            process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        done = {path: path.stat().st_mtime_ns for path in (project / ".edgekit").glob("engine-cpu-ort-*/*")}
        assert not (project / "artifacts" / "tiny-cpu").exists()
        bundle = edgekit.build(project, "cpu")
        assert {path: path.stat().st_mtime_ns for path in done} == done
        stages = {stage.name: stage.reused for stage in bundle.stages if stage.name.startswith(("engine", "contest"))}
        assert stages["engine-cpu-ort"]
        assert {*stages} == {"engine-cpu-ort", "engine-cpu-ov", "contest-cpu"}
        assert all(stage.reused for stage in edgekit.build(project, "cpu").stages)
