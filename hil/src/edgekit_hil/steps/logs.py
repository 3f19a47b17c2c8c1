"""What the board says of itself after a run, whatever became of it."""

from __future__ import annotations

from edgekit_hil.steps.context import Context

_SCRIPT = """
echo "== uptime"; uptime
echo "== free"; free -m 2>/dev/null
echo "== df"; df -h "$1" 2>/dev/null
echo "== dmesg"; dmesg 2>/dev/null | tail -n 200
echo "== lease"; tail -n 50 "$1/lease.log" 2>/dev/null
true
"""


def step(context: Context) -> str:
    """Collect load, memory, disk, the kernel's messages and the lease's log into ``board.log``."""
    link = context.agent.link
    context.keep("board.log", link.shell(["sh", "-c", _SCRIPT, "sh", link.home]))
    return f"board.log; the connection dropped {link.drops} times" if link.drops else "board.log"
