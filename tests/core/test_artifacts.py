"""Writes are whole or absent, whatever stops them."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgekit.core import artifacts
from edgekit.core.errors import OutputError

NO_PROCESS = 2**22 + 1  # above the kernel's highest process id


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a tmpfs with the given options; unmounted after the test."""
    made: list[Path] = []

    def make(options: str) -> Path:
        folder = tmp_path / f"mount{len(made)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("needs the mount command")
        if done.returncode != 0:
            pytest.skip(f"needs the right to mount a file system: {done.stderr.strip()}")
        made.append(folder)
        return folder

    yield make
    for folder in made:
        subprocess.run(["umount", str(folder)], check=True)


def test_sha256_file_is_hashlibs(tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    (tmp_path / "f").write_bytes(content)
    assert artifacts.sha256_file(tmp_path / "f") == hashlib.sha256(content).hexdigest()
    with (tmp_path / "f").open("rb") as stream:  # what Python 3.10 uses
        assert artifacts._digest(stream) == hashlib.sha256(content).hexdigest()


def test_sha256_of_ignores_key_order_only() -> None:
    assert artifacts.sha256_of({"a": 1, "b": [1, 2]}) == artifacts.sha256_of({"b": [1, 2], "a": 1})
    assert artifacts.sha256_of({"a": [1, 2]}) != artifacts.sha256_of({"a": [2, 1]})


def test_tree_hashes_lists_files_by_relative_name(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "b" / "c.txt").write_text("c")
    (tmp_path / "a.txt").write_text("a")
    found = artifacts.tree_hashes(tmp_path)
    assert list(found) == ["a.txt", "b/c.txt"]
    assert found["a.txt"] == hashlib.sha256(b"a").hexdigest()


def test_write_bytes_makes_parents_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "x" / "y" / "f.bin"
    artifacts.write_bytes(path, b"one")
    artifacts.write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["f.bin"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_write_json_keeps_the_order_of_keys_and_ends_with_a_newline(tmp_path: Path) -> None:
    artifacts.write_json(tmp_path / "d.json", {"b": 1, "a": [True, None]})
    text = (tmp_path / "d.json").read_text()
    assert json.loads(text) == {"a": [True, None], "b": 1}
    assert text.index('"b"') < text.index('"a"')
    assert text.endswith("}\n")


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failing_write_leaves_the_old_content_and_no_temporary(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    path.write_text("old")

    def fail(*args: object) -> None:
        raise OSError(errno.EIO, "broken disk")

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(OSError, match="broken disk"):
        artifacts.write_bytes(path, b"new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_directory_appears_whole(tmp_path: Path) -> None:
    final = tmp_path / "deep" / "result"
    with artifacts.atomic_directory(final) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "f").write_text("1")
        assert not final.exists()
    assert (final / "sub" / "f").read_text() == "1"
    assert list(final.parent.iterdir()) == [final]
    assert final.stat().st_mode & 0o777 == 0o755


def test_atomic_directory_replaces_the_older_one_entirely(tmp_path: Path) -> None:
    final = tmp_path / "result"
    for name in ("old", "new"):
        with artifacts.atomic_directory(final) as folder:
            (folder / name).write_text(name)
    assert [p.name for p in final.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [final]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_atomic_directory_is_removed_on_error_and_the_older_one_stays(
    error: type[BaseException], tmp_path: Path
) -> None:
    final = tmp_path / "result"
    with artifacts.atomic_directory(final) as folder:
        (folder / "f").write_text("good")

    def fill() -> None:
        with artifacts.atomic_directory(final) as folder:
            (folder / "f").write_text("half")
            raise error

    with pytest.raises(error):
        fill()
    assert (final / "f").read_text() == "good"
    assert list(tmp_path.iterdir()) == [final]


def test_leftovers_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path: Path) -> None:
    final = tmp_path / "result"
    living = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        dead = tmp_path / f".result.{NO_PROCESS}.abc.partial"
        swapped = tmp_path / f".result.{NO_PROCESS}.old.partial"
        alive = tmp_path / f".result.{living.pid}.abc.partial"
        other = tmp_path / f".result.v2.{NO_PROCESS}.abc.partial"  # of a folder named result.v2
        for folder in (dead, swapped, alive, other):
            folder.mkdir()
            (folder / "f").write_text("half")
        with artifacts.atomic_directory(final) as folder:
            (folder / "f").write_text("1")
        assert sorted(p.name for p in tmp_path.iterdir()) == sorted([alive.name, other.name, "result"])
    finally:
        living.communicate(b"\n")


def test_a_process_id_that_comes_again_does_not_keep_its_leftovers(tmp_path: Path) -> None:
    stale = tmp_path / f".result.{os.getpid()}.old.partial"
    stale.mkdir()
    (stale / "f").write_text("half")
    with artifacts.atomic_directory(tmp_path / "result"):
        assert not stale.exists()


def test_two_writers_of_one_folder_both_succeed(tmp_path: Path) -> None:
    """A second process finished while this one was filling: the last one stands, whole."""
    final = tmp_path / "result"
    script = (
        "import sys; from pathlib import Path; from edgekit.core.artifacts import atomic_directory\n"
        "with atomic_directory(Path(sys.argv[1])) as f: (f / 'f').write_text('theirs')"
    )
    root = str(Path(artifacts.__file__).parents[2])
    with artifacts.atomic_directory(final) as folder:
        (folder / "f").write_text("ours")
        subprocess.run([sys.executable, "-c", script, str(final)], check=True, env={**os.environ, "PYTHONPATH": root})
        assert (final / "f").read_text() == "theirs"
    assert (final / "f").read_text() == "ours"
    assert list(tmp_path.iterdir()) == [final]


def test_swapping_against_a_busy_neighbour_never_fails(tmp_path: Path) -> None:
    final = tmp_path / "result"
    script = (
        "import sys; from pathlib import Path; from edgekit.core.artifacts import atomic_directory\n"
        "for i in range(60):\n"
        " with atomic_directory(Path(sys.argv[1])) as f: (f / 'f').write_text('theirs')"
    )
    root = str(Path(artifacts.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    other = subprocess.Popen([sys.executable, "-c", script, str(final)], env=environment, stderr=subprocess.PIPE)
    while other.poll() is None:
        with artifacts.atomic_directory(final) as folder:
            (folder / "f").write_text("ours")
    assert other.wait() == 0, other.stderr.read().decode() if other.stderr else ""
    if other.stderr:
        other.stderr.close()
    assert (final / "f").read_text() in ("ours", "theirs")
    assert list(tmp_path.iterdir()) == [final]


def _replaced_while_watched(final: Path, times: int = 150) -> int:
    """How often a reader of ``final/a`` found nothing while other folders took its place."""
    stop, missed, seen = threading.Event(), [], []

    def watch() -> None:
        while not stop.is_set():
            try:
                seen.append((final / "a").read_text())
            except OSError:
                missed.append(1)

    with artifacts.atomic_directory(final) as folder:
        (folder / "a").write_text("-1")
    reader = threading.Thread(target=watch)
    reader.start()
    for turn in range(times):
        with artifacts.atomic_directory(final) as folder:
            (folder / "a").write_text(str(turn))
    stop.set()
    reader.join()
    assert seen
    assert [path.name for path in final.parent.iterdir()] == [final.name]
    return len(missed)


def test_at_every_moment_one_of_the_two_folders_is_there(tmp_path: Path) -> None:
    assert _replaced_while_watched(tmp_path / "bundle") == 0


def test_a_file_system_that_cannot_exchange_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "_exchange", lambda first, second: False)
    _replaced_while_watched(tmp_path / "bundle", 5)


def test_a_full_disk(mount: Callable[[str], Path]) -> None:
    folder = mount("size=64k")
    artifacts.write_bytes(folder / "f", b"old")
    with pytest.raises(OutputError, match=r"no space left on device; free space there, or choose another place"):
        artifacts.write_bytes(folder / "f", bytes(1 << 20))
    assert (folder / "f").read_bytes() == b"old"
    assert [p.name for p in folder.iterdir()] == ["f"]


def test_a_disk_that_fills_up_inside_a_directory(mount: Callable[[str], Path]) -> None:
    folder = mount("size=64k")

    def fill() -> None:
        with artifacts.atomic_directory(folder / "result") as partial:
            for index in range(64):
                (partial / f"f{index}").write_bytes(bytes(4096))

    with pytest.raises(OutputError, match="no space left on device"):
        fill()
    assert list(folder.iterdir()) == []


def test_a_read_only_disk(mount: Callable[[str], Path]) -> None:
    folder = mount("size=64k")
    (folder / "f").write_text("old")
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    for write in (
        lambda: artifacts.write_bytes(folder / "f", b"new"),
        lambda: artifacts.write_bytes(folder / "sub" / "f", b"new"),
        lambda: artifacts.atomic_directory(folder / "result").__enter__(),
    ):
        with pytest.raises(OutputError, match="read-only file system; choose another place"):
            write()
    assert (folder / "f").read_text() == "old"
    assert [p.name for p in folder.iterdir()] == ["f"]


def test_a_file_where_a_folder_must_be(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match=r"cannot write .*out/f: "):
        artifacts.write_bytes(tmp_path / "out" / "f", b"x")
    with pytest.raises(OutputError, match=r"cannot write .*out/result: "):
        artifacts.atomic_directory(tmp_path / "out" / "result").__enter__()
    with (
        pytest.raises(OutputError, match=r"cannot write .*out: "),
        artifacts.atomic_directory(tmp_path / "out") as folder,
    ):
        (folder / "f").write_text("1")
    assert (tmp_path / "out").read_text() == "a file"
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_folder_where_a_file_must_be(tmp_path: Path) -> None:
    (tmp_path / "f").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*/f: is a directory"):
        artifacts.write_bytes(tmp_path / "f", b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_other_failures_of_the_system_are_not_disguised(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="unplugged") as caught, artifacts.translated_writes(tmp_path):
        raise OSError(errno.ENODEV, "unplugged")
    assert not isinstance(caught.value, OutputError)


def test_require_writable_names_what_is_in_the_way(tmp_path: Path, mount: Callable[[str], Path]) -> None:
    artifacts.require_writable(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    (tmp_path / "f").write_text("a file")
    with pytest.raises(OutputError, match=r"cannot write .*/f/sub: not a directory; choose another place"):
        artifacts.require_writable(tmp_path / "f" / "sub")
    folder = mount("size=64k,ro")
    with pytest.raises(OutputError, match=rf"cannot write {folder}/a/b: {folder} is read-only; "):
        artifacts.require_writable(folder / "a" / "b")


def test_require_writable_takes_relative_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    artifacts.require_writable(Path("out"))
    artifacts.require_writable(Path("."))
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_that_takes_no_folders() -> None:
    for write in (
        lambda: artifacts.write_bytes(Path("/proc/x/y"), b""),
        lambda: artifacts.atomic_directory(Path("/proc/x/y")).__enter__(),
    ):
        with pytest.raises(OutputError, match=r"cannot write /proc/x/y: nothing can be made there"):
            write()
