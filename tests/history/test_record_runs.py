"""What is recorded is found again; what was killed is not."""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgekit.core.errors import DataError, EnvironmentFault, InputError
from edgekit.history import History
from tests.history.conftest import FORK, in_process
from tests.support.nights import METRICS, evaluation, gate, profile
from tests.support.shell import ENVIRONMENT

NIGHT = 86_400.0


class Clock:
    """A night later at every look."""

    def __init__(self, start: float = 4e9) -> None:
        self.now = start

    def __call__(self) -> float:
        self.now += NIGHT
        return self.now


def add(history: History, verdict: str | None = "pass", revision: str | None = None, **changes: Any) -> str:
    given: dict[str, Any] = {
        "evaluation": evaluation(),
        "profile": profile(),
        "name": "camvid-seg",
        "target": "cpu",
        "digest": "0123",
        "metrics": METRICS,
        "gate": gate(verdict) if verdict else None,
        "revision": revision,
    }
    return history.record(**{**given, **changes})


def opened(file: Path, clock: Clock | None = None) -> History:
    return History.open(file, writing=True, clock=clock or Clock())


def test_two_processes_made_one_history(history_file: Path) -> None:
    history = History.open(history_file)
    entries = history.entries()
    assert {e.revision for e in entries} == {"1a" * 20, "2a" * 20}
    with sqlite3.connect(history_file) as database:
        assert database.execute("SELECT version FROM model_versions ORDER BY 1").fetchall() == [(1,), (2,)]
    assert history.find("last-good").entry.id in {e.id for e in entries}


def test_documents_come_back_as_they_were(history_file: Path, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "manifest.json").write_text("{}")
    (tmp_path / "junit.xml").write_text("<x/>")
    kept = {"bundle": tmp_path / "bundle", "gate.xml": tmp_path / "junit.xml"}
    run = opened(history_file).find(add(opened(history_file), artifacts=kept))
    assert (run.evaluation, run.profile, run.gate) == (evaluation(), profile(), gate())
    assert list(run.evaluation.metrics) == list(evaluation().metrics)  # the first is the headline
    assert (run.documents / "bundle" / "manifest.json").read_text() == "{}"
    assert (run.documents / "gate.xml").read_text() == "<x/>"
    alone = opened(history_file)
    bare = alone.find(add(alone, verdict=None, profile=None))
    assert (bare.profile, bare.gate, bare.entry.verdict) == (None, None, "")


def test_mlflow_sees_parameters_metrics_tags_and_versions(history_file: Path) -> None:
    from mlflow.tracking import MlflowClient

    run = add(opened(history_file), "undecided", "AB12", parameters={"precision": "int8", "versions": {"ort": "1.31"}})
    client = MlflowClient(f"sqlite:///{history_file}", f"sqlite:///{history_file}")
    data = client.get_run(run).data
    assert data.params["precision"] == "int8"
    assert data.params["versions.ort"] == "1.31"
    assert data.params["dataset_hash"] == "d1"
    assert data.params["machine.cpu"] == "one"
    assert data.metrics["miou"] == 0.7
    assert (data.metrics["miou:low"], data.metrics["miou:high"]) == (pytest.approx(0.68), pytest.approx(0.72))
    assert data.metrics["iou/traffic light _28_red_29_:low"] == 0.4
    assert data.tags["edgekit.verdict"] == "undecided"
    assert data.tags["mlflow.source.git.commit"] == "ab12"
    version = client.get_model_version("camvid-seg-cpu", "3")
    assert (version.run_id, version.tags["edgekit.digest"]) == (run, "0123")


def test_last_good_moves_to_passing_runs_only(history_file: Path) -> None:
    history = opened(history_file)
    good = add(history, "pass")
    for verdict in ("fail", "undecided", None):
        add(history, verdict)
    assert history.find("last-good").entry.id == good
    assert len(history.entries()) == 6
    newer = add(history, "pass")
    assert history.find("last-good").entry.id == newer


def test_a_run_is_found_by_revision_and_id(history_file: Path) -> None:
    history = opened(history_file)
    first, second = add(history, revision="C0FFEE12" * 5), add(history, "fail", "c0ffee12" * 5)
    assert history.find("c0ffee").entry.id == second  # the newest of the revision
    assert history.find("C0FFEE12").entry.id == second
    assert history.find(first).entry.id == first
    assert history.find(first[:12]).entry.id == first


def test_a_reference_that_names_none_or_several(history_file: Path) -> None:
    history = opened(history_file)
    add(history, revision="1a1b" * 10)
    for reference, words in {
        "1a1": "give 4 letters or more of a run id or revision; known: last-good, ",
        "1a1c": r"no such run or revision; did you mean '1a1[ab]'\? known: last-good, .* of 1a1b1a1b",
        "last-god": "did you mean 'last-good'",
    }.items():
        with pytest.raises(InputError, match=words):
            history.find(reference)
    add(history, revision="1a1b" + "0" * 36)
    with pytest.raises(InputError, match=r"'1a1b' is ambiguous: 1a1b0.*, 1a1b1.*; give more letters"):
        history.find("1a1b")
    add(history, revision="1a1b")
    assert history.find("1a1b").entry.revision == "1a1b"  # whole


def test_targets_and_projects_are_kept_apart(history_file: Path) -> None:
    history = opened(history_file)
    with pytest.raises(InputError, match=r"no run of orin is recorded; .*allowed: camvid-seg-cpu"):
        history.find("last-good", "orin")
    orin = add(history, target="orin", revision="1a" * 20)
    for call in (
        lambda: history.find("last-good"),
        lambda: history.find("1a1a"),
        lambda: history.series("miou"),
    ):
        with pytest.raises(
            InputError, match=r"ambiguous: there are runs of camvid-seg-cpu, camvid-seg-orin; .*--target"
        ):
            call()
    assert history.find("last-good", "orin").entry.id == history.find("1a1a", "orin").entry.id == orin
    assert history.series("miou", "orin").runs == (orin,)
    other = add(history, name="yolox")
    assert history.find("last-good", name="yolox").entry.id == other
    assert [e.id for e in history.entries(name="yolox")] == [other]
    assert len(history.entries("cpu", "camvid-seg")) == 2
    add(history, "fail", target="rtx")
    with pytest.raises(InputError, match="no run of camvid-seg-rtx has passed its gate yet, so there is no last-good"):
        history.find("last-good", "rtx")


def test_a_series_is_oldest_first_and_compares_like_with_like(history_file: Path) -> None:
    history = opened(history_file)
    runs = [add(history, evaluation=evaluation(0.7 + i / 100, "d2"), profile=profile(10 + i)) for i in range(3)]
    add(history, "fail", evaluation=evaluation(0.9, "d2"), profile=profile(99, cpu="two"), revision="ab12")
    accuracy = history.series("miou")
    assert accuracy.values == pytest.approx((0.7, 0.71, 0.72, 0.9))
    assert accuracy.runs[:3] == tuple(runs)
    assert accuracy.low == pytest.approx((0.68, 0.69, 0.7, 0.88))
    assert accuracy.verdicts == ("pass", "pass", "pass", "fail")
    assert (accuracy.excluded, accuracy.higher, accuracy.unit) == (2, True, "")  # the two of other data
    assert accuracy.times_ms[1] - accuracy.times_ms[0] == NIGHT * 1000
    latency = history.series("latency_p50_ms")
    assert (latency.values, latency.excluded, latency.higher, latency.unit) == ((99.0,), 5, False, "ms")
    assert history.series("miou", limit=2).values == pytest.approx((0.72, 0.9))
    assert history.series("weather=fog/miou").values[-1] == pytest.approx(0.8)
    assert history.series("iou/traffic light (red)").high == (None,) * 4
    assert history.series("difference/miou").low == (-0.02,) * 4
    with pytest.raises(InputError, match="no recorded run has 'mioo'; did you mean 'miou'"):
        history.series("mioo")
    with pytest.raises(InputError, match="limit is 0, expected 1 or more"):
        history.series("miou", limit=0)


def test_a_history_moves_with_its_folder(history_file: Path, tmp_path: Path) -> None:
    moved = Path(shutil.move(history_file.parent, tmp_path / "elsewhere")) / "history.db"
    history = opened(moved)
    run = add(history)
    assert history.find(run).evaluation == history.find("1a1a").evaluation == evaluation()
    assert not history_file.parent.exists()


# --- refused by name, nothing recorded -----------------------------------------


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"evaluation": evaluation(math.nan)}, "miou is nan; a history keeps finite numbers only"),
        ({"profile": profile(math.inf)}, "_p50_ms is inf"),
        ({"name": "a/b"}, "name 'a/b': expected letters"),
        ({"target": "cpu' or 1=1"}, "target .*: expected letters"),
        ({"artifacts": {"../x": Path(__file__)}}, "artefact '../x': expected letters"),
        ({"artifacts": {"gate.json": Path(__file__)}}, "artefact 'gate.json': the history writes that file itself"),
        ({"artifacts": {"x": Path("absent")}}, "artefact 'x': there is no absent"),
    ],
)
def test_what_cannot_be_recorded(history_file: Path, changes: dict[str, Any], words: str) -> None:
    before = history_file.read_bytes()
    with pytest.raises((DataError, InputError), match=words):
        add(opened(history_file), **changes)
    assert history_file.read_bytes() == before


def test_names_that_are_one_to_mlflow(history_file: Path) -> None:
    twice = dataclasses.replace(evaluation(), metrics={"iou/a=b": 1.0, "iou/a:b": 2.0})
    with pytest.raises(DataError, match="'iou/a:b' and 'iou/a=b' have the same name in MLflow, 'iou/a:b'; rename one"):
        add(opened(history_file), evaluation=twice)


def test_a_clock_that_goes_backwards(history_file: Path) -> None:
    add(opened(history_file, Clock(4e9)))
    with pytest.raises(EnvironmentFault, match=r"says 2001-09-10 .* UTC, but the newest run of camvid-seg is of 2096-"):
        add(opened(history_file, Clock(1e9)))
    add(opened(history_file, Clock(4e9 - 1800)))  # as far as two machines may differ
    assert len(History.open(history_file).entries()) == 4


def test_a_damaged_document_is_named(history_file: Path) -> None:
    history = opened(history_file)
    run = history.find("1a1a")
    (run.documents / "profile.json").write_text('{"bundle": 1')
    with pytest.raises(InputError, match=rf"run {run.entry.id}: its document .*profile.json is missing or damaged"):
        history.find("1a1a")
    shutil.rmtree(history_file.with_name("history.db.documents"))
    for call in (lambda: history.find("1a1a"), lambda: history.series("miou")):
        with pytest.raises(InputError, match="is missing or damaged; put a copy back, or name another run"):
            call()


# --- killed, and at once -------------------------------------------------------

STEPS = ("create_run", "log_batch", "create_model_version", "set_terminated", "set_registered_model_alias")


def _stop_at(file: Path, step: str, reached: Any) -> None:
    """Record, and wait for ever before ``step``."""
    from mlflow.tracking import MlflowClient

    def wait(*_: Any, **__: Any) -> None:
        reached.set()
        signal.pause()

    setattr(MlflowClient, step, wait)
    add(History.open(file, writing=True), "pass", "dead" * 10)


@pytest.mark.parametrize("step", STEPS)
def test_a_killed_recording_counts_for_nothing(history_file: Path, step: str) -> None:
    before = History.open(history_file).find("last-good").entry
    reached = FORK.Event()
    process = in_process(_stop_at, history_file, step, reached)
    assert reached.wait(60)
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL

    history = opened(history_file)
    assert history.find("last-good").entry == before
    if step == "set_registered_model_alias":  # finished, but not yet the good one
        assert history.find("dead").gate == gate()
    else:
        assert len(history.entries()) == len(history.series("miou")) == 2
        with pytest.raises(InputError, match="no such run"):
            history.find("dead")
    newer = add(history)
    assert history.find("last-good").entry.id == newer


def test_a_failed_recording_counts_for_nothing(history_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking import MlflowClient

    def fail(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    history = opened(history_file)
    monkeypatch.setattr(MlflowClient, "create_model_version", fail)
    with pytest.raises(KeyboardInterrupt):
        add(history)
    assert len(history.entries()) == 2
    with sqlite3.connect(history_file) as database:
        found = database.execute("SELECT status, count(*) FROM runs GROUP BY status ORDER BY status").fetchall()
    assert found == [("FAILED", 1), ("FINISHED", 2)]


def _record_some(file: Path, barrier: Any, number: int) -> None:
    barrier.wait()
    history = History.open(file, writing=True)
    for i in range(4):
        add(history, revision=f"{number}b{i}c" * 10)


def test_two_processes_record_at_once(history_file: Path) -> None:
    barrier = FORK.Barrier(2)
    processes = [in_process(_record_some, history_file, barrier, number) for number in (3, 4)]
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    history = History.open(history_file)
    assert len({e.revision for e in history.entries()}) == 10
    for number, i in ((3, 0), (4, 3)):
        assert history.find(f"{number}b{i}c").evaluation == evaluation()
    with sqlite3.connect(history_file) as database:
        found = database.execute("SELECT version FROM model_versions ORDER BY 1").fetchall()
    assert found == [(i,) for i in range(1, 11)]


# --- offline -------------------------------------------------------------------

WATCHED = """
import sys, threading
from pathlib import Path
seen = []
# urllib3 asks, by binding a socket to the loopback address, whether this machine speaks IPv6; that sends nothing.
harmless = {"socket.__new__", "socket.gethostname", ("socket.bind", ("::1", 0))}
def watch(event, args):
    if event.startswith("socket.") and not {event, (event, args[-1])} & harmless:
        seen.append((event, args))
sys.addaudithook(watch)
from tests.support.nights import METRICS, evaluation, gate, profile
from edgekit.history import History
history = History.open(Path(sys.argv[1]), writing=True)
history.record(evaluation(), profile(), gate(), "camvid-seg", "cpu", "0123", None, metrics=METRICS)
history.find("last-good"), history.series("miou")
print(seen, threading.active_count(), "torch" in sys.modules)
"""


def test_no_connection_is_opened_and_nothing_is_said(history_file: Path, tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    # Without what tells MLflow that this is a test, where it is silent of itself.
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **ENVIRONMENT}
    environment["PYTHONPATH"] += os.pathsep + root
    (tmp_path / "here").mkdir()
    result = subprocess.run(
        [sys.executable, "-c", WATCHED, str(history_file)],
        cwd=tmp_path / "here",
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (result.stdout, result.stderr) == ("[] 1 False\n", "")
    assert list((tmp_path / "here").iterdir()) == []
