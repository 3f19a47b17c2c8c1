"""What a watchdog sees of a node, across processes."""

from __future__ import annotations

import subprocess
import sys

from edgekit.ros2_node.heartbeat import Heartbeat, State

READ = """
import sys
from edgekit.ros2_node.heartbeat import Heartbeat
seen = Heartbeat(int(sys.argv[1]))
print(seen.state.name, seen.count, seen.hung, round(seen.limit_s, 3))
"""


def seen_by_another_process(heartbeat: Heartbeat) -> str:
    command = [sys.executable, "-c", READ, str(heartbeat.descriptor)]
    found = subprocess.run(command, pass_fds=[heartbeat.descriptor], capture_output=True, text=True, check=True)
    return found.stdout.strip()


def test_another_process_sees_a_hung_inference():
    heartbeat = Heartbeat()
    heartbeat.state = State.ACTIVE
    heartbeat.begin(1000.0)
    heartbeat.finish()
    assert seen_by_another_process(heartbeat) == "ACTIVE 1 False 1000.0"
    heartbeat.begin(0.001)
    assert seen_by_another_process(heartbeat) == "ACTIVE 1 True 0.001"  # a process takes longer to start
    heartbeat.state = State.IDLE
    assert seen_by_another_process(heartbeat) == "IDLE 1 False 0.001"
    heartbeat.close()


def test_ages_count_from_the_last_end():
    heartbeat = Heartbeat()
    assert (heartbeat.age_s, heartbeat.running_s, heartbeat.hung) == (-1.0, 0.0, False)
    heartbeat.begin(10.0)
    assert heartbeat.running_s > 0
    heartbeat.finish()
    assert heartbeat.age_s > 0
    assert heartbeat.running_s == 0
    heartbeat.close()
