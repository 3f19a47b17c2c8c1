"""Runs as processes: one that crashes, hangs or is refused is told for what it is."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest
from hil.tests.night.conftest import Built
from hil.tests.night.recorded import latency, run

from edgekit.core.errors import EnvironmentFault, InputError
from edgekit_hil.night.boards import BoardRunner, arguments
from edgekit_hil.night.runner import Request
from tests.support.waiting import until


def request(tmp_path: Path, bundle: Path = Path("b.edgekit")) -> Request:
    return Request(Path("orin.yaml"), bundle, tmp_path / "run")


def runner(script: str, timeout_s: float = 600) -> BoardRunner:
    return BoardRunner(timeout_s, (sys.executable, "-c", script))


def test_the_options_are_those_of_hil_run() -> None:
    asked = Request(Path("e"), Path("b"), Path("o"), "p", Path("a"), Path("d"), 9, Path("g"), 0.5, "me", 7)
    first = "--env e --bundle b --out o"
    assert (
        " ".join(arguments(asked))
        == f"{first} --place p --against a --data d --queries 9 --bag g --soak 0.5 --keep 7 --json"
    )
    assert " ".join(arguments(Request(Path("e"), Path("b"), Path("o")))) == f"{first} --keep 32 --json"


def test_the_report_of_a_run_is_read_whatever_its_exit_code(tmp_path: Path) -> None:
    import json

    document = json.dumps(run("x-cpu@1", latency(1.12, "fail")).to_dict())
    found = runner(f"import sys; sys.stdout.write({document!r}); sys.exit(1)")(request(tmp_path))
    assert (found.verdict, found.bundle) == ("fail", "x-cpu@1")


def test_a_refusal_is_the_users_and_a_lack_is_the_machines(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"orin\.yaml: no such board"):
        runner("import sys; sys.stderr.write('error: no such board\\n'); sys.exit(2)")(request(tmp_path))
    with pytest.raises(EnvironmentFault, match="labgrid is not here"):
        runner("import sys; sys.stderr.write('error: labgrid is not here\\n'); sys.exit(3)")(request(tmp_path))


def test_a_crash_and_a_hang_are_the_boards(tmp_path: Path, built: Built) -> None:
    found = runner("import os; os.abort()")(request(tmp_path, built.path(0)))
    assert (found.verdict, found.why.split(";")[0]) == ("infrastructure", "edgekit hil run ended with code -6")
    found = runner("import time; time.sleep(3600)", timeout_s=0.5)(request(tmp_path, built.path(0)))
    assert found.verdict == "infrastructure"
    assert "was ended after" in found.why


def test_a_night_that_is_ended_ends_its_runs(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    script = f"import pathlib, time; pathlib.Path({str(begun)!r}).touch(); time.sleep(3600)"
    one, raised = runner(script), []

    def go() -> None:
        try:
            one(request(tmp_path))
        except EnvironmentFault as error:
            raised.append(str(error))

    thread = threading.Thread(target=go)
    thread.start()
    until(begun.exists, "the run")
    one.stop()
    thread.join()
    assert raised == ["the night was ended; start it again, and it goes on where it was"]
    with pytest.raises(EnvironmentFault, match="start it again"):
        one(request(tmp_path))
