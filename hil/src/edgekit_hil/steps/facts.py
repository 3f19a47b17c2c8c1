"""What the board is, and whether it is the one that the bundle needs."""

from __future__ import annotations

from labgrid.exceptions import NoDriverFoundError

from edgekit_hil.drivers.clocks import ClocksProtocol
from edgekit_hil.steps.context import Context

_LOOK = """
echo "architecture $(uname -m)"
echo "kernel $(uname -r)"
echo "cores $(nproc)"
[ -r /proc/device-tree/model ] && echo "model $(tr -d '\\0' </proc/device-tree/model)"
[ -r /etc/nv_tegra_release ] && echo "l4t $(head -n 1 /etc/nv_tegra_release)"
[ -r /etc/os-release ] && . /etc/os-release && echo "system $PRETTY_NAME"
true
"""


def step(context: Context) -> str:
    """Ask the board; nothing is changed there."""
    said = context.agent.link.shell(["sh", "-c", _LOOK]).decode(errors="replace")
    facts = dict(line.split(" ", 1) for line in said.splitlines() if " " in line)
    context.found.facts |= facts | _clocks(context)
    return ", ".join(facts[key] for key in ("model", "system", "architecture") if key in facts)


def _clocks(context: Context) -> dict[str, str]:
    """What the driver of clocks and power mode says, on a board that has one."""
    try:
        clocks: ClocksProtocol = context.agent.target.get_driver(ClocksProtocol)
    except NoDriverFoundError:
        return {}
    return clocks.facts()
