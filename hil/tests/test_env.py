"""The environment files of boards that are not here are loaded by labgrid, with every driver bound to its resource."""

from __future__ import annotations

import pytest
from labgrid.protocol import PowerProtocol

from edgekit_hil.drivers.jetson import JetsonDriver
from edgekit_hil.environment import SHIPPED, open_target


@pytest.mark.parametrize(
    ("name", "power"), [("orin-agx", "NetworkPowerDriver"), ("orin-nx", "DigitalOutputPowerDriver")]
)
def test_an_orin_is_bound(name: str, power: str) -> None:
    strategy = open_target(SHIPPED / f"{name}.yaml")
    assert strategy.ssh.networkservice.address == f"{name}-1"
    assert isinstance(strategy.power, PowerProtocol)
    assert type(strategy.power).__name__ == power
    assert isinstance(strategy.clocks, JetsonDriver)
    assert strategy.clocks.command is strategy.ssh
    assert strategy.clocks.jetpack == "6.2"
    # The lease that is the heartbeat lies in the agent's folder.
    assert strategy.clocks.heartbeat == f"{strategy.agent.folder}/lease.json"
    assert {type(resource).__name__ for resource in strategy.target.resources} & {"NetworkSerialPort", "USBSerialPort"}
