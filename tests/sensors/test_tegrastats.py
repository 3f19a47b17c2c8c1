"""Lines of tegrastats as boards printed them, and the process that prints them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.core.errors import DataError, EnvironmentFault, MissingRequirement
from edgekit.sensors import tegrastats
from tests.support.sysfs_trees import command, recorded
from tests.support.waiting import until

LINES = recorded("tegrastats")
ORIN = LINES[0]["line"]


@pytest.mark.parametrize("entry", LINES, ids=lambda entry: entry["board"])
def test_recorded_lines(entry: dict[str, Any]) -> None:
    reading = tegrastats.parse(entry["line"])
    assert reading.power_w == pytest.approx(entry["power_w"])
    assert reading.temperature_c == entry["temperature_c"]
    assert reading.clock_mhz == entry["clock_mhz"]
    assert reading.load_percent == entry["load_percent"]
    assert reading.memory_mib == entry["memory_mib"]
    assert reading.throttled is None
    total = tegrastats.Config().reader().total(reading.power_w)
    assert total is not None
    assert total.scope == entry["scope"]
    assert sum(reading.power_w[rail] for rail in total.rails) == pytest.approx(entry["total_w"])


def test_a_negative_power_and_an_unknown_field_are_read_past() -> None:
    reading = tegrastats.parse("RAM 26063/125772MB (lfb 35x4MB) NEWUNIT x7 VDD_GPU -392mW/-392mW OTHER weird@12")
    assert reading.power_w == {"VDD_GPU": -0.392}  # AGX Thor's GPU rail reads below zero while it is idle
    assert reading.memory_mib == {"ram": 26063}


def test_a_board_of_unknown_rails_has_no_total() -> None:
    assert tegrastats.Config().reader().total(["VDD_NEW", "VDD_SOC"]) is None


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (ORIN.replace("2340mW/", "23x0mW/"), "VDD_GPU_SOC: '23x0' in '23x0mW/2340mW' is not a number"),
        (ORIN.replace("4321/62801MB", "4321/62801"), "expected RAM USED/TOTALMB, found '4321/62801'"),
        (ORIN.replace("[0%@729,", "[0%@,"), "cpu0: '' in '0%@' is not a number"),
        (ORIN.replace("0%@2133", "0@%2133"), "EMC: expected a load such as 12%@1300, found '0@%2133'"),
        (ORIN.replace("44.562C", "44..562C"), "CPU: '44..562' in 'CPU@44..562C' is not a number"),
        ("tegrastats: command is not known", "not a line of tegrastats"),
        ("", "not a line of tegrastats"),
    ],
)
def test_broken_numbers_are_refused_by_name(broken: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        tegrastats.parse(broken)
    assert words in str(caught.value)


@given(st.integers(0, len(ORIN)), st.text(max_size=3))
def test_a_damaged_line_is_read_or_refused(at: int, noise: str) -> None:
    try:
        reading = tegrastats.parse(ORIN[:at] + noise + ORIN[at + len(noise) :])
    except DataError:
        return
    assert all(isinstance(watts, float) for watts in reading.power_w.values())


def printing(tmp_path: Path, *lines: str, then: str = "exec sleep 60") -> tegrastats.Config:
    shown = "\n".join(f"echo {shlex.quote(line)}" for line in lines)
    return tegrastats.Config(command=command(tmp_path / "tegrastats", f"echo $@ > {tmp_path}/args\n{shown}\n{then}"))


def test_a_recording_holds_the_printed_lines(tmp_path: Path) -> None:
    config = printing(tmp_path, LINES[1]["line"], LINES[1]["line"].replace("VDD_IN 12479mW", "VDD_IN 6479mW"))
    recording = config.reader().open(rate_hz=20)
    with recording:
        until(lambda: len(recording._readings) == 2, "that the second line is through the pipe")
    samples = recording.samples()
    assert list(samples.power_w["VDD_IN"]) == [12.479, 6.479]
    assert samples.peak_w(["VDD_IN"]) == 12.479
    probe = config.reader().probe()
    assert probe.works
    assert "VDD_IN" in probe.detail


def test_the_rate_becomes_the_interval(tmp_path: Path) -> None:
    with printing(tmp_path, ORIN).reader().open(rate_hz=20):
        pass
    assert (tmp_path / "args").read_text() == "--interval 50\n"


def test_a_command_that_is_not_here(tmp_path: Path) -> None:
    reader = tegrastats.Config(command=(str(tmp_path / "none"),)).reader()
    here = reader.probe()
    assert (here.works, here.install) == (False, None)
    assert here.detail.endswith("/none: it is part of JetPack on a Jetson")
    expected = r"/none is not available on this machine; it is part of JetPack on a Jetson$"
    with pytest.raises(MissingRequirement, match=expected), reader.open():
        pass


def test_a_command_that_ends_is_reported(tmp_path: Path) -> None:
    config = printing(tmp_path, ORIN, then="exit 4")

    def record() -> None:
        with config.reader().open() as recording:
            recording._thread.join()
        recording.samples()

    with pytest.raises(EnvironmentFault, match="ended by itself with 4"):  # on entering or at the end
        record()


def test_a_command_that_prints_something_else_is_reported(tmp_path: Path) -> None:
    probe = printing(tmp_path, "usage: tegrastats").reader().probe()
    assert not probe.works
    assert "not a line of tegrastats" in probe.detail
