"""What was recorded of cuda-bindings: enumerations, functions, their parameters and results."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from tests.support import fake_trt


@cache
def read(version: str) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The enumerations of cuda-bindings, and the parameters of its functions."""
    recorded = fake_trt.record(version)
    enumerations = {name: fake_trt.number(name, found["members"]) for name, found in recorded["classes"].items()}
    return enumerations, {name: names(found[0]) for name, found in recorded["functions"].items() if found}


def names(signature: str) -> list[str]:
    """The parameters of a recorded function of cuda-bindings, without their types."""
    inner = re.sub(r"\[[^\]]*\]", "", signature[1 : signature.rindex(")")])
    return [part.split(":")[0].split()[-1] for part in inner.split(",") if part.strip()]


def results(name: str) -> int:
    """How many values a function gives beside its status."""
    made = ("cudaMalloc", "cudaHostAlloc", "cudaStreamCreateWithFlags", "cudaStreamEndCapture", "cudaGraphInstantiate")
    return 1 if name in (*made, "cudaEventCreate", "cudaEventElapsedTime") else 2 if name == "cudaMemGetInfo" else 0
