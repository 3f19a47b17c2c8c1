"""What an engine file was made with and for, kept beside it, and held against this machine before it is read.

A serialized engine holds native code: a foreign one runs as this process.  So a file without its facts, or whose
bytes are not those that the facts name, is refused, and so is one that was made for another library or device.
"""

from __future__ import annotations

import ctypes
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from edgekit.core.artifacts import sha256_file, write_json
from edgekit.core.errors import BundleError
from edgekit.engine.trt.bindings import Api

REBUILD = (
    "make it anew for this machine: edgekit bundle rebuild BUNDLE; or where the spec is: "
    "edgekit build edgekit.yaml --target NAME (--host user@board for a board)"
)
SCHEMA_VERSION = 1
# CUdevice_attribute of the CUDA driver API.
_CC_MAJOR, _CC_MINOR = 75, 76


@dataclass(frozen=True)
class Machine:
    """The TensorRT and the first GPU of this machine; None where there is no GPU.

    ``cuda`` is the newest CUDA that the driver runs, such as ``12.6``; ``compute_capability`` such as ``8.7``;
    ``memory_mib`` is the whole memory of the device.
    """

    flavour: str
    tensorrt: str
    cuda: str | None
    compute_capability: str | None
    device: str | None
    driver: str | None
    memory_mib: int | None = None


@dataclass(frozen=True)
class Facts:
    """What the file ``<engine>.json`` holds beside an engine.

    ``cuda``, ``device`` and ``driver`` are those of the machine that built it, None when it had no GPU;
    ``compute_capability`` is what it was built for. ``options`` are those of the builder that change the engine.
    """

    engine_sha256: str
    onnx_sha256: str
    flavour: str
    tensorrt: str
    compute_capability: str
    cuda: str | None
    device: str | None
    driver: str | None
    options: Mapping[str, Any]
    timing_cache_sha256: str | None = None
    schema_version: int = SCHEMA_VERSION


def guard_path(engine: Path) -> Path:
    """Where the facts of ``engine`` lie: ``<engine>.json`` beside it."""
    return engine.with_name(f"{engine.name}.json")


def write(engine: Path, facts: Facts) -> None:
    """Write the facts beside the engine, atomically."""
    write_json(guard_path(engine), asdict(facts))


def read(engine: Path) -> Facts:
    """The facts beside ``engine``.

    Raises:
        BundleError: there are none, or they are not whole.
    """
    path = guard_path(engine)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(
            f"{engine}: a foreign engine: {path.name}, which says what it was made with, is not beside it; an engine "
            f"runs native code, so it is refused; {REBUILD}"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{path}: not JSON ({error}); {REBUILD}") from error
    known = {field.name for field in fields(Facts)}
    if not isinstance(document, dict) or set(document) != known or document["schema_version"] != SCHEMA_VERSION:
        raise BundleError(f"{path}: not the facts of an engine that this edgekit can read; {REBUILD}")
    return Facts(**document)


def check(engine: Path, here: Machine) -> Facts:
    """The facts of ``engine``, when this machine may deserialise it.

    A version-compatible engine runs on a later TensorRT of the same major version, a hardware-compatible one on
    every GPU from compute capability 8.0 on (https://docs.nvidia.com/deeplearning/tensorrt/latest/inference-library/
    advanced.html); the driver may be newer than the one it was built under.  TensorRT for RTX finishes its kernels
    where they run, so there only the compute capability counts, not the model of the GPU.

    Raises:
        BundleError: no facts, changed bytes, or made for another library or GPU; both sides are named.
    """
    facts = read(engine)
    found = sha256_file(engine)
    if found != facts.engine_sha256:
        raise BundleError(
            f"{engine}: its bytes are not those that {guard_path(engine).name} names (sha256 {found[:12]}, expected "
            f"{facts.engine_sha256[:12]}): it was changed, or is not whole; {REBUILD}"
        )
    differences = [
        f"{what}: the engine has {made}, this machine {mine}" for what, made, mine in _differences(facts, here)
    ]
    if differences:
        raise BundleError(f"{engine}: made for another machine: {'; '.join(differences)}; {REBUILD}")
    return facts


def _differences(facts: Facts, here: Machine) -> list[tuple[str, str, str | None]]:
    found: list[tuple[str, str, str | None]] = []
    if facts.flavour != here.flavour:
        found.append(("library", f"{facts.flavour} {facts.tensorrt}", f"{here.flavour} {here.tensorrt}"))
    elif not same_version(facts.tensorrt, here.tensorrt, bool(facts.options.get("version_compatible"))):
        found.append(("TensorRT", facts.tensorrt, here.tensorrt))
    portable = bool(facts.options.get("hardware_compatible"))
    mine = _numbers(here.compute_capability)
    if facts.compute_capability != here.compute_capability and not (portable and mine >= (8, 0)):
        found.append(("compute capability", facts.compute_capability, here.compute_capability or "no GPU"))
    elif facts.device not in (None, here.device) and facts.flavour == "tensorrt" and not portable:
        found.append(("device", str(facts.device), here.device))
    if facts.cuda is not None and _numbers(here.cuda) < _numbers(facts.cuda):
        found.append(("CUDA of the driver", f"{facts.cuda} or later", here.cuda or "none"))
    return found


def same_version(built: str, here: str, compatible: bool = False) -> bool:
    """Whether an engine of TensorRT ``built`` runs on ``here``; ``compatible``: it was built to run on later ones.

    As many parts are compared as both have, and at least three: bindings say 10.16.2.10 where an older ``trtexec``
    says 10.16.2.
    """
    made, mine = _numbers(built), _numbers(here)
    common = max(3, min(len(made), len(mine)))
    made, mine = made[:common], mine[:common]
    return made[:1] == mine[:1] and mine >= made if compatible else made == mine


def _numbers(version: str | None) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version or ""))


def weights_beside(engine: Path) -> Path:
    """The model of a weight-stripped engine, when it lies beside it: ``int8.onnx`` of ``int8.engine``."""
    return engine.with_name(f"{engine.name.split('.')[0]}.onnx")


def weights_of(engine: Path, facts: Facts) -> Path:
    """The ONNX file that a weight-stripped engine gets its weights from: beside it, or in a bundle's ``models``.

    Raises:
        BundleError: no such file is the one that the engine was built from.
    """
    beside = weights_beside(engine)
    places = (beside, engine.parent.parent / "models" / beside.name)
    for place in places:
        if place.is_file() and sha256_file(place) == facts.onnx_sha256:
            return place
    raise BundleError(
        f"{engine}: it holds no weights, and neither {places[0]} nor {places[1]} is the model it was built from "
        f"(sha256 {facts.onnx_sha256[:12]}); put that file beside the engine, or build without weight_stripped"
    )


def this_machine(api: Api) -> Machine:
    """TensorRT, and the first CUDA device of this machine as the driver tells it."""
    cuda, capability, device, memory = _gpu()
    return Machine(api.flavour, api.version, cuda, capability, device, _driver(), memory)


@cache
def _gpu() -> tuple[str | None, str | None, str | None, int | None]:
    """CUDA version, compute capability, name and memory in MiB of device 0, from the driver's own library.

    The CUDA driver API (https://docs.nvidia.com/cuda/cuda-driver-api) is called directly, because a machine that
    only builds needs no package of bindings.
    """
    nothing = (None, None, None, None)
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return nothing
    device, version = ctypes.c_int(), ctypes.c_int()
    if cuda.cuInit(0) != 0 or cuda.cuDeviceGet(ctypes.byref(device), 0) != 0:
        return nothing

    def attribute(number: int) -> int:
        value = ctypes.c_int()
        return value.value if cuda.cuDeviceGetAttribute(ctypes.byref(value), number, device) == 0 else 0

    name, total = ctypes.create_string_buffer(256), ctypes.c_size_t()
    cuda.cuDeviceGetName(name, len(name), device)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(total), device)
    cuda.cuDriverGetVersion(ctypes.byref(version))
    release = f"{version.value // 1000}.{version.value % 1000 // 10}"
    return release, f"{attribute(_CC_MAJOR)}.{attribute(_CC_MINOR)}", name.value.decode(), total.value >> 20


def _driver() -> str | None:
    try:
        return Path("/sys/module/nvidia/version").read_text(encoding="ascii").strip()
    except OSError:
        return None
