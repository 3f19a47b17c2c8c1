"""What is said of a processor's kernels, by what Linux says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgekit import doctor
from edgekit.runtime import processor

SAPPHIRE_RAPIDS = "avx2 avx512f avx512_vnni avx_vnni amx_int8 avx512vbmi avx512_bf16 amx_bf16 avx512_fp16"


def flags(monkeypatch: pytest.MonkeyPatch, machine: str, names: str) -> None:
    word = "flags" if machine == "x86_64" else "Features"
    monkeypatch.setattr(processor.platform, "machine", lambda: machine)
    monkeypatch.setattr(Path, "read_text", lambda self: f"processor : 0\n{word} : fpu {names}\n")


@pytest.mark.parametrize(
    ("machine", "names", "has", "said", "unsaid"),
    [
        ("x86_64", "avx2", "AVX2", ("expect little from INT8 in ONNX Runtime", "seven bits", "bf16 and"), ("AMX sp",)),
        ("x86_64", "avx2 avx_vnni", "AVX2, AVX-VNNI", ("products are exact",), ("saturate", "AMX speeds")),
        (
            "x86_64",
            SAPPHIRE_RAPIDS,
            "AVX2, AVX-512, AVX512-VNNI, AVX-VNNI, AMX, VBMI, bf16, f16",
            ("products are exact", "AMX speeds up OpenVINO"),
            ("saturate", "refuses"),
        ),
        ("x86_64", "avx2 avx512_vnni avx512_bf16", "AVX2, AVX512-VNNI, bf16", ("refuses precision: fp16",), ()),
        ("aarch64", "asimd", "NEON", ("expect little from INT8",), ("ONNX Runtime multiplies",)),
        ("aarch64", "asimd asimddp asimdhp", "NEON, dot product, f16", ("fast kernels", "refuses precision: bf16"), ()),
        ("aarch64", "asimd i8mm bf16 asimdhp", "NEON, i8mm, bf16, f16", ("has fast kernels",), ("refuses",)),
    ],
)  # fmt: skip
def test_kernels_and_what_follows(
    machine: str, names: str, has: str, said: tuple[str, ...], unsaid: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    flags(monkeypatch, machine, names)
    found = processor.kernels()
    assert found is not None
    assert ", ".join(found.has) == has
    assert not set(found.has) & set(found.lacks)
    assert found.line().startswith(has)
    assert all(text in found.line() for text in said)
    assert not any(text in found.line() for text in unsaid)
    (row,) = [finding for finding in (doctor._kernels(),) if finding.name == "cpu kernels"]
    assert (row.works, row.detail) == (True, found.line())


def test_outside_linux_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", refuse)
    assert processor.kernels() is None
    assert (doctor._kernels().works, doctor._kernels().optional) == (False, True)


def test_without_vnni_products_are_of_unsigned_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    flags(monkeypatch, "x86_64", "avx2")
    assert processor.int8_products() == "u8u8"
    flags(monkeypatch, "x86_64", "avx2 avx512_vnni")
    assert processor.int8_products() is None
    flags(monkeypatch, "aarch64", "asimd")
    assert processor.int8_products() is None
