"""The processes that most tests get instead of fresh ones (tests/support/warm.py) show what fresh ones would."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import edgekit
from tests.support import warm
from tests.support.shell import COMMAND, ENVIRONMENT, start
from tests.support.shell import edgekit as command

BEGINNING = """
import json
from pathlib import Path
import scipy.stats
import torch.nn.utils.parametrize
SIZE = json.loads(Path(__file__).with_name("size.json").read_text())
"""


def _exported(project: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    folder = edgekit.compress(project).exported.path
    stage = json.loads((folder / "stage.json").read_text())
    return stage, {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "stage.json"}


def test_an_export_is_that_of_a_fresh_process(bare_project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = bare_project / "model.py"
    (bare_project / "size.json").write_text("8")
    model.write_text(BEGINNING + model.read_text())
    found = []
    for address in (warm.address() or "", ""):
        monkeypatch.setenv(warm.ADDRESS, address)
        found.append(_exported(bare_project))
        for name in (".edgekit", "artifacts"):
            shutil.rmtree(bare_project / name)
    (warm_stage, warm_files), (fresh_stage, fresh_files) = found
    assert warm_files == fresh_files
    used = []
    for stage in (warm_stage, fresh_stage):
        sources = stage["inputs"].pop("sources")
        # Folders on the way to a module, and PyTorch's own in /tmp, are looked at once in the life of an interpreter.
        used.append({name: digest for name, digest in sources.items() if name.startswith(("file ", "package "))})
    assert used[0] == used[1]
    assert {"file model.py", "file size.json", "package scipy"} <= set(used[0])
    assert warm_stage["inputs"] == fresh_stage["inputs"]


CODE = """
import os, sys
print(sys.argv[1:], os.getcwd(), os.environ["GIVEN"], __name__)
print("to stderr", file=sys.stderr)
sys.exit(int(sys.argv[1]) if sys.argv[1].isdigit() else "a text")
"""


@pytest.mark.parametrize("argument", ["0", "3", "x"])
def test_streams_folder_environment_and_end(argument: str, tmp_path: Path) -> None:
    environment = {**os.environ, "GIVEN": "value"}
    words = [sys.executable, "-c", CODE, argument]
    made = warm.run(words, env=environment, cwd=tmp_path)
    fresh = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (made.returncode, made.stdout, made.stderr) == (fresh.returncode, fresh.stdout, fresh.stderr)


def test_it_is_no_fresh_process_and_another_each_time() -> None:
    code = "import os, sys; print('torch' in sys.modules, os.getpid())"
    first, second = (warm.run([sys.executable, "-c", code], env=os.environ).stdout.split() for _ in range(2))
    assert first[0] == second[0] == "True"
    assert first[1] != second[1]


@pytest.mark.fresh
def test_a_test_can_have_fresh_ones() -> None:
    code = "import sys; print('torch' in sys.modules)"
    assert warm.run([sys.executable, "-c", code], env=os.environ).stdout == "False\n"


def test_an_interpreter_that_is_asked_for_more_is_fresh() -> None:
    code = "import sys; print('torch' in sys.modules, sys.flags.utf8_mode)"
    assert warm.run([sys.executable, "-c", code], env={**os.environ, "PYTHONUTF8": "1"}).stdout == "False 1\n"


def test_an_error_is_a_traceback() -> None:
    done = warm.run([sys.executable, "-c", "1 / 0"], env=os.environ)
    assert done.returncode == 1
    assert done.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_a_signal_ends_it() -> None:
    code = "import os; os.kill(os.getpid(), 9)"
    assert warm.run([sys.executable, "-c", code], env=os.environ).returncode == -signal.SIGKILL


def test_it_is_killed_with_the_one_that_started_it(tmp_path: Path) -> None:
    """As the kernel does it to a fresh export: the server sees the end of the connection."""
    inner = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()) + ' '); time.sleep(600)"
    outer = (
        "import os, sys; server = sys._getframe(1).f_globals; "
        f"server['popen']([sys.executable, '-c', {inner!r}], env=os.environ).wait()"
    )
    process = warm.popen([sys.executable, "-c", outer], env=os.environ)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().endswith(" "):
        assert process.poll() is None
        time.sleep(0.01)
    pid = int((tmp_path / "pid").read_text())
    process.kill()
    assert process.wait() == -signal.SIGKILL
    while Path(f"/proc/{pid}").exists():
        time.sleep(0.01)


def test_commands() -> None:
    shown = command("--version")
    fresh = subprocess.run(
        [*COMMAND, "--version"], env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=False
    )
    assert (shown.returncode, shown.stdout, shown.stderr) == (fresh.returncode, fresh.stdout, fresh.stderr)
    process = start("--version")
    assert process.wait() == 0
