"""What this machine can really do."""

from __future__ import annotations

import importlib.util
import platform
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from edgekit import sensors
from edgekit.core import plugins
from edgekit.core.errors import InputError, MissingRequirement
from edgekit.engine import Probe, backend_class
from edgekit.profiling import machine
from edgekit.reporting import find_browser
from edgekit.ros2_node.package.findings import probe
from edgekit.runtime import processor

COMPRESS = 'pip install "edgekit[compress]"'
PACKAGES = (
    ("compress (PyTorch)", "torch", COMPRESS),
    ("compress (onnx)", "onnx", COMPRESS),
    ("demo (rendered scenes)", "panda3d", 'pip install "edgekit[demo]"'),
)
EXTRAS = {
    "report": ("jinja2", "plotly", "junitparser"),
    "history": ("mlflow", "sqlalchemy", "alembic", "ruptures"),
    "qat": ("modelopt",),
    "prune": ("torch_pruning",),
}
"""What each optional extra of the package is tried by."""


def examine() -> list[Probe]:
    """Every finding; nothing is changed on the machine."""
    here = machine()
    found = [
        Probe(
            "python",
            sys.version_info >= (3, 10),
            f"{platform.python_version()} on {here.system} {here.machine}",
        ),
        Probe("cpu", True, f"{here.cpu}, {here.cpus} usable CPUs, load {here.load_average_1min}"),
        _kernels(),
        _clocks(here.governor),
    ]
    for name in plugins.names("engine"):
        found += _engine(name)
    with ThreadPoolExecutor() as pool:  # each waits for a process of its own
        packages = pool.map(lambda package: _package(*package), PACKAGES)
        extras = pool.map(lambda extra: _extra(*extra), EXTRAS.items())
        found += [*packages, _gpu(), *probe()]
        # Every machine lacks some of them: that is no fault.
        found += [replace(sensor, name=f"sensor {sensor.name}", optional=True) for sensor in sensors.probe()]
        found += extras
    return [*found, _browser(), _command("ssh (--host)", "ssh", "sudo apt-get install openssh-client")]


def _engine(name: str) -> list[Probe]:
    try:
        return backend_class(name).probe()
    except InputError as refused:  # a plugin of another package: the rest of the machine is still of interest
        return [Probe(name, False, str(refused), "install a version of the plugin that fits this edgekit")]


def _kernels() -> Probe:
    found = processor.kernels()
    if found is None:
        return Probe("cpu kernels", False, "not known: only Linux tells what a processor can do", optional=True)
    return Probe("cpu kernels", True, found.line())


def _clocks(governor: str) -> Probe:
    if governor == "unknown":
        return Probe("clocks", False, "no frequency governor to read (a virtual machine?); latencies may drift")
    steady = governor == "performance"
    fix = None if steady else "sudo cpupower frequency-set -g performance"
    return Probe("clocks", steady, f"governor {governor}", fix)


def _package(title: str, module: str, install: str) -> Probe:
    """Proven by an import in a process of its own: it costs this one nothing, and a crash is a finding."""
    if importlib.util.find_spec(module) is None:
        return Probe(title, False, "not installed", install)
    code = f"import {module}; print(getattr({module}, '__version__', ''))"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    if child.returncode != 0:
        last = (child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
        return Probe(title, False, f"installed, but the import fails: {last}", install)
    return Probe(title, True, f"{module} {child.stdout.strip()}".strip())


def _extra(name: str, modules: tuple[str, ...]) -> Probe:
    install = f'pip install "edgekit[{name}]"'
    probes = [_package(name, module, install) for module in modules]
    lacking = [f"{module}: {probe.detail}" for module, probe in zip(modules, probes, strict=True) if not probe.works]
    if lacking:
        return Probe(f"extra {name}", False, ", ".join(lacking), install, optional=True)
    return Probe(f"extra {name}", True, ", ".join(probe.detail for probe in probes), optional=True)


def _browser() -> Probe:
    title = "Chromium (report --pdf)"
    try:
        return Probe(title, True, find_browser(), optional=True)
    except MissingRequirement as missing:
        return Probe(title, False, "not found", missing.install, optional=True)


def _command(title: str, name: str, install: str) -> Probe:
    found = shutil.which(name)
    return Probe(title, found is not None, found or "not found", None if found else install, optional=True)


def _gpu() -> Probe:
    release = Path("/etc/nv_tegra_release")
    if release.exists():
        return Probe("gpu", True, release.read_text().splitlines()[0].strip("# "))
    try:
        query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
        child = subprocess.run(query, capture_output=True, text=True, check=False, timeout=20)
    except FileNotFoundError:
        return Probe("gpu", False, "no NVIDIA driver found", optional=True)
    except subprocess.TimeoutExpired:
        return Probe("gpu", False, "nvidia-smi did not answer within 20 s")
    return Probe("gpu", child.returncode == 0, child.stdout.strip() or child.stderr.strip())
