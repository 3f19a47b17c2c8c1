"""Commands, files and folders over a real OpenSSH server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.core.errors import EnvironmentFault, InputError, MissingRequirement, OutputError
from edgekit.remote.ssh import CONFIG, Host
from tests.support import loopback
from tests.support.loopback import HOST, Loopback, ended
from tests.support.waiting import until


class TestRefusals:
    def test_an_unreachable_host(self, board: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
        closed = loopback.client(board.root, "closed", 1)
        monkeypatch.setenv(CONFIG, str(closed))
        with pytest.raises(
            EnvironmentFault, match=rf"{HOST}: not reachable over SSH: .*refused.*; try: ssh {HOST} true"
        ):
            Host(HOST).call("true")

    def test_a_name_that_no_one_knows(self, board: Loopback) -> None:
        with pytest.raises(EnvironmentFault, match=r"not reachable over SSH: .*resolve"):
            Host("user@no-such-board.invalid").call("true")

    def test_a_refused_key(self, board: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(CONFIG, str(loopback.client(board.root, "stranger", board.port, key="stranger_key")))
        with pytest.raises(EnvironmentFault, match=rf"it refused the key .*ssh-copy-id {HOST}"):
            Host(HOST).call("true")

    def test_an_unknown_host_key_is_not_accepted(self, board: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
        config = loopback.client(board.root, "first", board.port, known="no_hosts")
        monkeypatch.setenv(CONFIG, str(config))
        with pytest.raises(EnvironmentFault, match="its host key is unknown; connect once by hand and compare"):
            Host(HOST).call("true")
        assert not (board.root / "no_hosts").exists()

    def test_a_changed_host_key(self, board: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
        other = (board.root / "stranger_key.pub").read_text()
        (board.root / "old_hosts").write_text(f"[127.0.0.1]:{board.port} {other}")
        monkeypatch.setenv(CONFIG, str(loopback.client(board.root, "changed", board.port, known="old_hosts")))
        with pytest.raises(EnvironmentFault, match=r"flashed again.*ssh-keygen -R"):
            Host(HOST).call("true")

    def test_no_ssh_here(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(MissingRequirement, match=r"the command ssh .*openssh-client"):
            Host(HOST).call("true")

    @pytest.mark.parametrize("name", ["", "-oProxyCommand=id", "user@board x", "a\nb"])
    def test_a_name_is_never_an_option(self, name: str) -> None:
        with pytest.raises(InputError, match="is no host"):
            Host(name)

    def test_a_failing_command_says_its_last_line(self, board: Loopback) -> None:
        with pytest.raises(EnvironmentFault, match="a command failed there: second"):
            Host(HOST).call("echo first >&2; echo second >&2; exit 4")


class TestFiles:
    def test_words_arrive_as_they_are(self, board: Loopback) -> None:
        words = ("a b", "$HOME", "'q'", '"', "*", "\\", "é", "")
        assert Host(HOST).call('for w in "$@"; do printf "<%s>" "$w"; done', *words) == "".join(f"<{w}>" for w in words)

    def test_there_and_back(self, board: Loopback, tmp_path: Path) -> None:
        content = bytes(range(256)) * 5000
        (tmp_path / "a").write_bytes(content)
        with Host(HOST).folder() as folder:
            folder.put(tmp_path / "a", "b c")
            assert folder.names() == ("b c",)
            assert Path(folder.path).stat().st_mode & 0o077 == 0
            folder.get("b c", tmp_path / "d")
        assert (tmp_path / "d").read_bytes() == content
        assert board.left() == []

    def test_a_file_that_is_not_there(self, board: Loopback, tmp_path: Path) -> None:
        with Host(HOST).folder() as folder, pytest.raises(EnvironmentFault, match="No such file"):
            folder.get("absent", tmp_path / "d")

    def test_a_full_disk_there(self, board: Loopback, tmp_path: Path) -> None:
        with Host(HOST).folder() as folder:
            Path(folder.path, "full").symlink_to("/dev/full")
            (tmp_path / "a").write_bytes(b"x" * 100_000)
            with pytest.raises(OutputError, match=r"no room for the build .*TMPDIR"):
                folder.put(tmp_path / "a", "full")

    def test_a_temporary_folder_that_cannot_be_made(self, board: Loopback) -> None:
        board.folders.rename(board.folders.with_name("away"))
        try:
            with pytest.raises(OutputError, match="no room for the build"), Host(HOST).folder():
                pytest.fail("there is no folder")
        finally:
            board.folders.with_name("away").rename(board.folders)


class TestNothingIsLeft:
    def test_after_an_error(self, board: Loopback) -> None:
        def fail() -> None:
            with Host(HOST).folder():
                assert len(board.left()) == 1
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fail()
        assert board.left() == []

    def test_when_this_process_is_killed_the_build_there_ends(self, board: Loopback, tmp_path: Path) -> None:
        """SIGKILL leaves no time to clean up: the board does it when the connection ends."""
        script = (
            "from edgekit.remote.ssh import Host\n"
            f"with Host({HOST!r}).folder() as folder:\n"
            f"    folder.run(['sh', '-c', 'trap \"\" TERM; echo $$ >{board.running}; sleep 60'], print)\n"
        )
        child = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, CONFIG: str(board.config)})
        until(lambda: board.running.exists() and board.running.read_text().strip())
        running = int(board.running.read_text())
        assert len(board.left()) == 1
        child.send_signal(signal.SIGKILL)
        child.wait()
        board.wait_empty()
        until(lambda: ended(running))

    def test_a_broken_connection_is_told(self, board: Loopback) -> None:
        host = Host(HOST)
        with host.folder() as folder, pytest.raises(EnvironmentFault, match="not reachable over SSH"):
            # The parent of the command's shell is the server's process for this connection.
            folder.run(["sh", "-c", "kill -KILL $(ps -o ppid= $PPID)"], print)
        board.wait_empty()

    def test_lines_and_status_of_a_command(self, board: Loopback) -> None:
        lines: list[str] = []
        with Host(HOST).folder() as folder:
            code = folder.run(["sh", "-c", "cat; echo out; echo err >&2; exit 3"], lines.append, b"given\n")
            assert (code, lines) == (3, ["given", "out", "err"])
            assert folder.names() == ()
