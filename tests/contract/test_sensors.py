"""What every sensor promises, on whatever machine this is."""

from __future__ import annotations

import json
import time

import pytest

from edgekit.core import plugins
from edgekit.core.errors import EnvironmentFault, InputError
from edgekit.core.probes import Probe
from edgekit.sensors import Reader, Recorder


@pytest.fixture(params=plugins.names("sensors"))
def reader(request: pytest.FixtureRequest) -> Reader:
    made: Reader = plugins.load("sensors", request.param).Config().reader()
    assert made.name == request.param
    return made


def test_a_probe_tells_what_was_read_or_why_not(reader: Reader) -> None:
    found = reader.probe()
    assert isinstance(found, Probe)
    assert found.name == reader.name
    assert found.detail


def test_a_recording_has_readings_or_the_reason(reader: Reader) -> None:
    if not reader.probe().works:
        with pytest.raises(EnvironmentFault), reader.open():
            raise AssertionError("it opened, though its probe says that it does not work")
        return
    with reader.open(rate_hz=50) as recording:
        time.sleep(0.1)
    samples = recording.samples()
    assert len(samples.time_s) >= 2
    total = reader.total(samples.rails)
    assert total is None or set(total.rails) <= set(samples.rails)


@pytest.mark.parametrize("rate", [0, -5, 1e6])
def test_a_rate_that_cannot_be_is_refused(reader: Reader, rate: float) -> None:
    with pytest.raises(InputError, match="sampling rate"):
        reader.open(rate)


def test_all_of_them_around_some_work() -> None:
    with Recorder() as recorder:
        time.sleep(0.05)
    power = recorder.report(queries=5)
    assert set(power.readers) | set(power.unavailable) == set(plugins.names("sensors"))
    json.dumps(power.to_dict(), allow_nan=False)
