"""How OpenVINO is imported, and what its errors say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.core.errors import ModelError
from edgekit.engine.ov import session


def test_importing_it_tells_nobody(tmp_path: Path) -> None:
    """By itself the package reports its import, and writes an identifier into the home folder."""
    code = (
        "import sys, threading; from edgekit.engine.ov import session; session.runtime()\n"
        "assert not [name for name in sys.modules if name.startswith('openvino_telemetry')]\n"
        "print(threading.active_count())"
    )
    environment = {"HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_others_may_import_what_was_left_out() -> None:
    session.runtime()
    assert sys.modules.get("openvino_telemetry", ...) is not None


def test_an_error_without_the_places_in_its_source() -> None:
    message = (
        "Exception from src/inference/src/cpp/core.cpp:105:\nCheck 'found' failed at src/a.cpp:7:\n"
        "Unable to read the model. Please check\nif it is correct.\n\n"
    )
    assert session.said(message) == "Unable to read the model. Please check if it is correct."
    assert session.said("Exception from src/a.cpp:1:\n") == "Exception from src/a.cpp:1:"
    with pytest.raises(ModelError, match=r"^m: cut off$"), session.translated("m", ModelError):
        raise RuntimeError("Exception from src/a.cpp:1:\ncut off\n")


def test_floats_are_what_was_asked_for() -> None:
    class Two:
        threads = 2

    found = session.settings_of(Two, "f32")
    assert found["INFERENCE_PRECISION_HINT"] == "f32"
    assert (found["INFERENCE_NUM_THREADS"], found["NUM_STREAMS"]) == (2, 1)
