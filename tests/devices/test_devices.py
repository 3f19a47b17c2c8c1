"""The devices are data with sources, and what they cannot do is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit import devices

VERSIONS = st.tuples(st.integers(8, 12), st.integers(0, 20), st.integers(0, 9))


@pytest.mark.parametrize("name", devices.names())
def test_every_file_is_read(name: str) -> None:
    device = devices.get(name)
    assert device.name == name
    assert all(source.startswith("https://") for source in device.sources.values())
    assert len(set(device.power_modes)) == len(device.power_modes)


def test_the_boards_of_the_issue_are_there() -> None:
    boards = {"orin-agx-64gb": 2, "orin-agx-32gb": 2, "orin-nx-16gb": 2, "orin-nx-8gb": 1, "orin-nano-8gb": 0}
    for name, cores in boards.items():
        device = devices.get(name)
        assert (device.compute_capability, device.dla_cores, device.unified_memory) == ("8.7", cores, True)
        assert not {"fp8", "fp4"} & set(device.precisions or ())
    assert {"thor-t5000", "x86-desktop"} <= set(devices.names())


def test_unknown_name_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"device: 'orin-agx-64' is unknown; did you mean 'orin-agx-64gb'\?"):
        devices.get("orin-agx-64")


@pytest.mark.parametrize(
    ("name", "request_", "reason"),
    [
        (
            "orin-agx-64gb",
            {"precision": "fp8"},
            "Jetson AGX Orin 64GB has no FP8 kernels; choose fp32, fp16, bf16, int8",
        ),
        ("orin-nano-8gb", {"dla_core": 0}, "dla_core: Jetson Orin Nano 8GB has no DLA; remove the key"),
        ("orin-nx-8gb", {"dla_core": 1}, "has 1 DLA core"),
        ("orin-agx-64gb", {"dla_core": 0, "precision": "fp32"}, "the DLA computes in fp16 and int8 only"),
        ("orin-agx-64gb", {"compute_capability": "8.9"}, "has 8.7, not 8.9"),
        ("orin-nano-8gb", {"workspace_mib": 9000}, "9000 is more than the 8192 MiB"),
    ],
)
def test_impossible_requests(name: str, request_: dict[str, object], reason: str) -> None:
    assert reason in str(devices.get(name).objection(**request_))  # type: ignore[arg-type]


def test_possible_requests() -> None:
    assert devices.get("orin-agx-64gb").objection("int8", 1, "8.7", 4096) is None
    assert devices.get("x86-desktop").objection("fp8", None, "12.0", 10**6) is None
    assert devices.get("thor-t5000").objection("fp4") is None


@pytest.mark.parametrize(
    ("name", "version", "dla", "works"),
    [
        ("orin-agx-64gb", "10.3.0", False, True),
        ("orin-agx-64gb", "8.6.2", False, False),
        ("orin-agx-64gb", "10.7.0.23", True, True),
        ("orin-agx-64gb", "10.16.1", True, False),
        ("orin-agx-64gb", "11.4.1", True, True),
        ("orin-nx-16gb", "11.4.1", True, False),
        ("thor-t5000", "10.3.0", False, False),
    ],
)
def test_tensorrt_versions(name: str, version: str, dla: bool, works: bool) -> None:
    assert (devices.get(name).version_objection(version, dla) is None) is works


@given(VERSIONS, VERSIONS, VERSIONS)
def test_a_range_holds_what_lies_between(found: tuple[int, ...], first: tuple[int, ...], last: tuple[int, ...]) -> None:
    words = [".".join(map(str, version)) for version in (found, first, last)]
    device = replace(devices.get("x86-desktop"), tensorrt=(words[1], words[2]))
    assert (device.version_objection(words[0]) is None) == (first <= found <= last)


def test_a_fact_without_a_source_is_refused() -> None:
    device = devices.get("orin-agx-64gb")
    with pytest.raises(ValueError, match="no source for memory_mib"):
        replace(device, sources={k: v for k, v in device.sources.items() if k != "memory_mib"})
