"""The Jetson driver over a real SSH server: what the programs print, and that power mode and clocks are put back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hil.tests.support.jetson import GOLDEN, Jetson, jetson
from labgrid import Target
from labgrid.driver import SSHDriver
from labgrid.resource import NetworkService

from edgekit.core.errors import DataError, EnvironmentFault
from edgekit_hil.drivers import jetson_text
from edgekit_hil.drivers.jetson import JetsonDriver
from tests.support.loopback import USER, serve
from tests.support.waiting import until


@dataclass
class Board:
    """A board, the driver for it, and a heartbeat that a test can stop."""

    driver: JetsonDriver
    stand_in: Jetson
    lease: Path
    _beats: int = 0

    def beat(self, token: str = "ours") -> None:
        self._beats += 1
        self.lease.write_text(json.dumps({"token": token, "heartbeat": self._beats}))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    with serve(tmp_path_factory.mktemp("board") / "server") as loopback:
        stand_in = jetson(loopback)
        target = Target("orin")
        NetworkService(target, None, address="127.0.0.1", username=USER, port=loopback.port)
        SSHDriver(target, None, keyfile=str(loopback.root / "user_key"))
        lease = loopback.root / "board" / "lease.json"
        JetsonDriver(
            target,
            None,
            heartbeat=str(lease),
            silent_s=3600,
            sudo="",
            folder=str(loopback.root / "board" / "guard"),
            sys=str(stand_in.state / "sys"),
            release=str(stand_in.state / "release"),
        )
        yield Board(target.get_driver(JetsonDriver), stand_in, lease)
        target.deactivate_all_drivers()


@pytest.fixture
def board(server: Board) -> Board:
    server.driver.silent_s, server.driver.mode, server.driver.jetpack = 3600, "MODE_50W", ""
    server.driver.restore()
    server.stand_in.set("2", "2 free")
    for name in ("calls", "stuck", "failing"):
        (server.stand_in.state / name).unlink(missing_ok=True)
    server.stand_in.packages(GOLDEN["release"]["packages"])
    server.beat()
    return server


def put_back(board: Board) -> bool:
    return (board.stand_in.mode, board.stand_in.clocks) == ("2", "2 free")


def test_what_the_board_says(board: Board) -> None:
    driver = board.driver
    assert driver.power_mode() == jetson_text.PowerMode(2, "MODE_30W")
    assert {str(mode.number): mode.name for mode in driver.power_modes()} == GOLDEN["modes"]["named"]
    assert {name: list(mhz) for name, mhz in driver.clocks().mhz.items()} == GOLDEN["clocks"]["free_mhz"]
    assert driver.facts() == {
        "l4t": "36.4.4",
        "jetpack": "6.2.1+b38",
        "tensorrt": "10.3.0.30-1+cuda12.5",
        "power_mode": "MODE_30W (2)",
        "clocks": "free",
        "throttled": "devfreq-17000000.gpu",
    }


def test_thermal_state(board: Board) -> None:
    thermal = board.driver.thermal()
    assert thermal.temperature_c == {"cpu-thermal": 63.625, "gpu-thermal": 58.0, "tj-thermal": 63.625}
    assert thermal.throttled == ("devfreq-17000000.gpu",)
    assert thermal.over_current == GOLDEN["thermal"]["counters"]


def test_tegrastats_runs_beside_what_is_inside_and_ends(board: Board) -> None:
    with board.driver.monitored(interval_ms=20) as readings:
        log = Path(board.driver.folder) / "tegrastats.log"
        until(lambda: log.exists() and log.read_text().count("\n") > 2, "that readings are written")
    assert len(readings) > 2
    assert readings[0].power_w["VDD_GPU_SOC"] == 2.34
    assert readings[0].temperature_c["tj"] == 44.343
    assert not log.exists()


def test_locked_inside_and_put_back_after(board: Board) -> None:
    with board.driver.locked():
        assert (board.stand_in.mode, board.stand_in.clocks) == ("3", "3 locked")
        assert board.driver.clocks().locked
    assert put_back(board)
    # Clocks go with the mode in which they were stored.
    assert board.stand_in.calls == ["nvpmodel -m 3", "restore 3 free", "nvpmodel -m 2", "restore 2 free"]
    board.driver.unlock()
    assert len(board.stand_in.calls) == 4, "nothing to put back twice"


def test_clocks_that_were_locked_before_are_locked_again(board: Board) -> None:
    board.stand_in.set("2", "2 locked")
    with board.driver.locked():
        assert board.stand_in.clocks == "3 locked"
    assert (board.stand_in.mode, board.stand_in.clocks) == ("2", "2 locked")


def test_put_back_after_an_exception(board: Board) -> None:
    def fails() -> None:
        with board.driver.locked():
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert put_back(board)


def test_put_back_by_the_board_when_the_heartbeat_stops(board: Board) -> None:
    board.driver.silent_s = 3
    board.driver.lock(60)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        board.beat()
        time.sleep(0.05)
    assert board.stand_in.clocks == "3 locked", "the heartbeat goes on"
    until(lambda: put_back(board), "that the watcher puts the former mode back")
    log = Path(board.driver.folder) / "log"
    until(lambda: log.read_text().splitlines()[-1] == "the watcher put back mode 2", "that the log says so")


def test_the_heartbeat_of_another_run_is_none(board: Board) -> None:
    board.driver.silent_s = 2
    board.driver.lock(60)

    def beaten() -> bool:
        board.beat("another run")
        return put_back(board)

    until(beaten, "that the watcher puts the former mode back")


def test_a_heartbeat_file_that_is_not_there_is_none(board: Board) -> None:
    board.lease.unlink()
    board.driver.silent_s = 1
    board.driver.lock(60)
    until(lambda: put_back(board), "that the watcher puts the former mode back")


def test_what_a_dead_run_left_is_put_back_before_the_next_lock(board: Board) -> None:
    board.driver.lock(60)  # and this run is gone; the power was cut, so no watcher is left either
    (Path(board.driver.folder) / "turn").write_text("none\n")
    board.driver.mode = "MODE_15W"
    with board.driver.locked():
        assert board.stand_in.clocks == "1 locked"
    assert put_back(board)


def test_a_mode_that_needs_a_reboot_changes_nothing(board: Board) -> None:
    board.driver.mode = "MAXN"
    with pytest.raises(
        EnvironmentFault, match=r"not taken MAXN: .*Reboot required.*; boot the board in that mode"
    ) as caught:
        board.driver.lock(60)
    assert caught.value.exit_code == 3
    assert put_back(board)


def test_clocks_that_fail_change_nothing(board: Board) -> None:
    (board.stand_in.state / "failing").touch()
    with pytest.raises(EnvironmentFault, match=r"jetson_clocks failed MODE_50W: .*Failed to max GPU frequency"):
        board.driver.lock(60)
    assert put_back(board)


def test_a_mode_that_is_not_there(board: Board) -> None:
    board.driver.mode = "MODE_99W"
    with pytest.raises(EnvironmentFault, match="no power mode 'MODE_99W'; the board has 0 MAXN, 1 MODE_15W"):
        board.driver.lock(60)


def test_what_cannot_be_put_back_is_said_and_tried_again(board: Board) -> None:
    board.driver.lock(60)
    (board.stand_in.state / "stuck").touch()
    with pytest.raises(EnvironmentFault, match="the former power mode is not back: the former power mode 2"):
        board.driver.unlock()
    (board.stand_in.state / "stuck").unlink()
    board.driver.unlock()
    assert put_back(board)


def test_the_mode_that_the_board_is_in(board: Board) -> None:
    board.driver.mode = ""
    with board.driver.locked():
        assert board.stand_in.clocks == "2 locked"
    assert put_back(board)
    assert "nvpmodel -m 2" not in board.stand_in.calls


def test_jetpack(board: Board) -> None:
    board.driver.check_jetpack("6.2")
    board.driver.check_jetpack("6.2.1")
    for wrong in ("6.1", "6.2.10", "7"):
        with pytest.raises(
            EnvironmentFault, match=rf"orin: JetPack 6\.2\.1\+b38 \(L4T 36\.4\.4\), and {wrong} is wanted"
        ):
            board.driver.check_jetpack(wrong)
    board.driver.jetpack = "6.1"
    with pytest.raises(EnvironmentFault, match=r"and 6\.1 is wanted: flash the board"):
        board.driver.lock(60)
    assert not board.stand_in.calls
    board.stand_in.packages({"nvidia-l4t-core": "36.4.4"})
    with pytest.raises(
        EnvironmentFault, match=r"which JetPack this is \(L4T 36\.4\.4\); sudo apt-get install nvidia-jetpack"
    ):
        board.driver.check_jetpack("6.2")


def test_a_board_without_the_programs(board: Board) -> None:
    board.driver.sudo = "/nowhere"
    try:
        with pytest.raises(EnvironmentFault, match=r"orin: /nowhere nvpmodel -q failed: .*[Nn]o such file"):
            board.driver.power_mode()
    finally:
        board.driver.sudo = ""


def test_text_of_another_form_is_named() -> None:
    with pytest.raises(DataError, match="expected 'NV Power Mode: NAME' and a number, found 'NVPM ERROR: no"):
        jetson_text.power_mode(["NVPM ERROR: no mode"])
    with pytest.raises(DataError, match=r"expected 'R36 \(release\), REVISION: 4\.4', found 'Ubuntu'"):
        jetson_text.l4t("Ubuntu")
