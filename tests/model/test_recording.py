"""What user code uses is seen from outside: each way of reading something, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import edgekit
from edgekit.core.sources import Sources

RECORD = """
import importlib, json, sys
from pathlib import Path
from edgekit.model.recording import Recorder
base = Path(sys.argv[1])
sys.path[:0] = [str(base)]
recorder = Recorder(base, base / "own")
recorder.start()
importlib.import_module("net").build()
print(json.dumps(recorder.sources().to_dict()))
"""


def recorded(base: Path, code: str, cwd: Path | None = None, record: str = RECORD, **environment: str) -> Sources:
    """The sources of ``build()``, whose body is ``code``."""
    (base / "net.py").write_text(
        "import os\nfrom pathlib import Path\nHERE = Path(__file__).parent\n\n\ndef build():\n"
    )
    with (base / "net.py").open("a") as file:
        file.writelines(f"    {line}\n" for line in code.splitlines())
    path = str(Path(edgekit.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", record, str(base)],
        env={**os.environ, "PYTHONPATH": path, **environment},
        cwd=cwd or base.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Sources.from_dict(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    root = (tmp_path / "project").resolve()
    (root / "cfg").mkdir(parents=True)
    (root / "cfg" / "a.yaml").write_text("channels: 8\n")
    (root / "weights.bin").write_bytes(bytes(100))
    return root


FILES = {
    "open": "open(HERE / 'cfg/a.yaml').read()",
    "os.open": "os.read(os.open(HERE / 'cfg/a.yaml', os.O_RDONLY), 9)",
    "numpy": "import numpy\nnumpy.fromfile(HERE / 'cfg/a.yaml', numpy.uint8)",
    "memory map": "import numpy\nnumpy.memmap(HERE / 'cfg/a.yaml', mode='r')",
    "relative link": "os.symlink('cfg/a.yaml', HERE / 'link')\nopen(HERE / 'link').read()",
    "asked for, then opened in C": "os.path.isfile(HERE / 'cfg/a.yaml')",
    "pathlib": "(HERE / 'cfg/a.yaml').exists()",
    "thread": (
        "from threading import Thread\n"
        "thread = Thread(target=lambda: open(HERE / 'cfg/a.yaml').read())\nthread.start()\nthread.join()"
    ),
    "sqlite": "import sqlite3\nsqlite3.connect(HERE / 'cfg/a.yaml')",
    "exec of another file": "exec(compile((HERE / 'cfg/a.yaml').read_text().replace(': ', '='), 'x', 'exec'))",
}


@pytest.mark.parametrize("way", FILES)
def test_a_file_that_is_read(way: str, base: Path) -> None:
    found = recorded(base, FILES[way])
    name = "link" if "link" in way else "cfg/a.yaml"
    assert {f"file {name}", "file net.py"} <= found.items.keys()
    assert found.changes(base) == ()
    (base / "cfg" / "a.yaml").write_text("channels: 9\n")
    assert found.changes(base) == (name,)


def test_a_file_that_a_variable_or_the_working_folder_names(base: Path, tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("1")
    (base / "cfg" / "c.txt").write_text("2")
    code = "open('b.txt').read()\nopen(os.path.expandvars('$DATA/c.txt')).read()"
    found = recorded(base, code, DATA=str(base / "cfg"))
    assert {"file $PWD/b.txt", "file cfg/c.txt", "variable DATA"} <= found.items.keys()


VARIABLES = (
    "os.environ['SIZE']",
    "os.environ.get('SIZE')",
    "os.getenv('SIZE')",
    "'SIZE' in os.environ",
    "dict(os.environ)",
)


@pytest.mark.parametrize("code", VARIABLES)
def test_an_environment_variable(code: str, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIZE", "8")
    found = recorded(base, code)
    assert "variable SIZE" in found.items
    assert "SIZE" not in found.changes(base)
    monkeypatch.setenv("SIZE", "9")
    assert "SIZE" in found.changes(base)
    monkeypatch.delenv("SIZE")
    assert "SIZE" in found.changes(base)
    assert "8" not in json.dumps(found.listing()["variables"])  # a value may be secret


def test_variables_that_only_python_asks_for_are_none_of_the_models(base: Path) -> None:
    found = recorded(
        base, "import tempfile, getpass\nPath.home()\nopen(os.path.expanduser('~/x') if 0 else HERE / 'weights.bin')"
    )
    assert [item for item in found.items if item.startswith("variable")] == []


@pytest.mark.parametrize(
    "code", ["os.listdir(HERE / 'cfg')", "list((HERE / 'cfg').glob('*.yaml'))", "list(os.walk(HERE / 'cfg'))"]
)
def test_a_folder_that_is_listed(code: str, base: Path) -> None:
    found = recorded(base, code)
    assert found.changes(base) == ()
    (base / "cfg" / "b.yaml").touch()
    assert found.changes(base) == ("cfg",)


ABSENT = {
    "a module": ("try:\n    import fast\nexcept ImportError:\n    pass", "fast.py"),
    "a module of a package": ("import pkg\ntry:\n    import pkg.fast\nexcept ImportError:\n    pass", "pkg/fast.py"),
    "a file that is asked for": ("(HERE / 'extra.pth').exists()", "extra.pth"),
    "a file that is opened": ("try:\n    open(HERE / 'extra.pth')\nexcept OSError:\n    pass", "extra.pth"),
    "a folder": ("os.path.isdir(HERE / 'extra')", "extra/x"),
}


@pytest.mark.parametrize("case", ABSENT)
def test_what_is_not_there_and_comes(case: str, base: Path) -> None:
    code, name = ABSENT[case]
    (base / "pkg").mkdir()
    (base / "pkg" / "__init__.py").touch()
    found = recorded(base, code)
    assert found.changes(base) == ()
    (base / name).parent.mkdir(exist_ok=True)
    (base / name).touch()
    assert len(found.changes(base)) == 1


UNSEEN = {
    "a process": ("import subprocess\nsubprocess.run(['true'])", "another process ran"),
    "os.system": ("os.system('true')", "another process ran"),
    "a library": ("import ctypes\nctypes.CDLL('libc.so.6')", "may open files unseen"),
    "the network": (
        "import socket\ns = socket.socket()\ntry:\n    s.connect(('127.0.0.1', 1))\nexcept OSError:\n    pass",
        "the network",
    ),
    "safetensors": ("import safetensors", "safetensors may open files unseen"),
    "OpenCV": ("import cv2", "cv2 may open files unseen"),
}


@pytest.mark.parametrize("case", UNSEEN)
def test_what_cannot_be_seen_is_said(case: str, base: Path) -> None:
    code, reason = UNSEEN[case]
    if case == "safetensors":
        pytest.importorskip("safetensors")
    assert any(reason in said for said in recorded(base, code).unseen)


def test_plain_code_is_seen_whole_and_leaves_no_trace(base: Path) -> None:
    (base / "layers.py").write_text("SIZE = 3\n")
    code = "import layers, numpy, math\nwith open(HERE / 'own', 'w') as f:\n    f.write('x')\nopen(HERE / 'own').read()"
    found = recorded(base, code)
    assert found.unseen == ()
    assert {item for item in found.items if not item.startswith("package ")} == {"file layers.py", "file net.py"}
    assert "package numpy" in found.items
    assert not (base / "__pycache__").exists()


def test_what_a_tracer_asks_is_none_of_the_models(base: Path) -> None:
    """Coverage asks for the place of each file whose code begins to run, from that code's own frame."""
    watched = "import coverage\ncoverage.Coverage(data_file=None, config_file=False).start()\n"
    (base / "layers.py").touch()
    found = recorded(base, "def inner():\n    pass\nimport layers\ninner()", record=watched + RECORD)
    assert {item for item in found.items if not item.startswith("package ")} == {"file layers.py", "file net.py"}


def test_an_edit_of_the_same_second_and_size_is_not_hidden_by_bytecode(base: Path) -> None:
    import py_compile

    (base / "layers.py").write_text("SIZE = 3\n")
    os.utime(base / "layers.py", (10**9, 10**9))
    py_compile.compile(str(base / "layers.py"))
    (base / "layers.py").write_text("SIZE = 4\n")
    os.utime(base / "layers.py", (10**9, 10**9))
    recorded(base, "import layers\nassert layers.SIZE == 4")


def test_another_folder_and_user_have_the_same_content(base: Path, tmp_path: Path) -> None:
    import shutil

    code = "open(HERE / 'cfg/a.yaml').read()\nos.listdir(HERE)\nopen(os.environ['EXTRA']).read()\nimport layers"
    (base / "layers.py").touch()
    contents = []
    for place in ("one", "two"):
        (tmp_path / place / "out").mkdir(parents=True)
        (tmp_path / place / "out" / "x.bin").write_bytes(b"x")
        root = (tmp_path / place / "project").resolve()
        shutil.copytree(base, root)
        found = recorded(
            root, code.replace("os.environ['EXTRA']", "HERE.parent / 'out/x.bin'"), HOME=str(tmp_path / place)
        )
        contents.append(found.content())
        assert found.changes(root) == ()
    assert contents[0] == contents[1]
