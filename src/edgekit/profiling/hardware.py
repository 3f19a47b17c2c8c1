"""What the numbers were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from edgekit.core.reports import MachineReport


def machine() -> MachineReport:
    """What the numbers were measured on."""
    governor = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return MachineReport(
        system=platform.system(),
        machine=platform.machine(),
        python=platform.python_version(),
        cpu=_cpu_model(),
        cpus=len(os.sched_getaffinity(0)),
        governor=governor.read_text().strip() if governor.exists() else "unknown",
        load_average_1min=round(os.getloadavg()[0], 2),
    )


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or "unknown"
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "Model"))]
    return models[0] if models else platform.processor() or "unknown"
