"""What ``edgekit doctor`` finds: every sensor, and what most machines lack is no fault."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgekit import doctor, sensors
from edgekit.cli.doctor_command import doctor as command
from edgekit.core import plugins
from edgekit.core.errors import InputError
from edgekit.core.probes import Probe
from edgekit.engine import ort


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One engine, quick findings, and no ``nvidia-smi``."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(doctor, "_package", lambda title, module, install: Probe(title, True, module))
    monkeypatch.setattr(plugins, "names", lambda kind, real=plugins.names: ("ort",) if kind == "engine" else real(kind))
    monkeypatch.setattr(ort.Backend, "probe", lambda: [Probe("ort/cpu", True, "ran a model")])


@pytest.mark.usefixtures("bare")
def test_every_sensor_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {finding.name: finding for finding in doctor.examine()}
    assert {f"sensor {name}" for name in plugins.names("sensors")} <= set(found)
    assert all(found[f"sensor {name}"].optional for name in plugins.names("sensors"))
    assert not found["ort/cpu"].optional
    monkeypatch.setattr(sensors, "probe", lambda: [Probe("rapl", True, "energy counter package-0")])
    assert Probe("sensor rapl", True, "energy counter package-0", None, True) in doctor.examine()


@pytest.mark.usefixtures("bare")
def test_what_is_not_here_is_no_failure(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    if Path("/etc/nv_tegra_release").exists():
        pytest.skip("this is a Jetson board")
    here = Probe("kernel", True, "3 clocks")
    monkeypatch.setattr(sensors, "probe", lambda: [here, Probe("nvml", False, "NVML", 'pip install "edgekit[nvidia]"')])
    command()
    page = capsys.readouterr().out
    rows = dict(re.findall(r"^\W*(gpu|sensor \w+)\W+?(yes|no|-)\s", page, re.MULTILINE))
    assert page.index("optional") < page.index("sensor kernel")
    assert rows == {"gpu": "-", "sensor kernel": "yes", "sensor nvml": "-"}
    assert 'pip install "edgekit[nvidia]"' in page
    assert "-: not on this machine, which is no fault" in page


@pytest.mark.usefixtures("bare")
def test_what_is_often_missing_has_a_row_and_its_install_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def package(title: str, module: str, install: str) -> Probe:
        return Probe(title, module != "ruptures", "not installed" if module == "ruptures" else f"{module} 1", install)

    monkeypatch.setattr(doctor, "_package", package)
    monkeypatch.setattr(sensors, "probe", list)
    found = {finding.name: finding for finding in doctor.examine() if finding.optional}
    assert found["extra report"].detail == "jinja2 1, plotly 1, junitparser 1"
    assert (found["extra history"].works, found["extra history"].detail) == (False, "ruptures: not installed")
    assert found["extra history"].install == 'pip install "edgekit[history]"'
    assert found["extra qat"].works
    lacking = {name: found[name].install for name in ("Chromium (report --pdf)", "ssh (--host)")}
    assert all(not found[name].works and "apt-get install" in (install or "") for name, install in lacking.items())
    monkeypatch.delenv("COLUMNS", raising=False)
    command()
    (row,) = [line for line in capsys.readouterr().out.splitlines() if "extra history" in line]
    assert 'ruptures: not installed: pip install "edgekit[history]"' in row


@pytest.mark.usefixtures("bare")
def test_a_backend_of_another_form_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise InputError(f"engine {name!r}: it has no class Backend")

    monkeypatch.setattr(doctor, "backend_class", refuse)
    found = {finding.name: finding for finding in doctor.examine()}
    assert not found["ort"].works
    assert found["ort"].detail == "engine 'ort': it has no class Backend"
    assert found["ort"].install
