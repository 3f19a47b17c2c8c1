"""OpenVINO: the processor of this machine, with kernels of oneDNN and OpenVINO's own.

An engine is the model that OpenVINO compiled for this processor, in one file with what it was made for; it opens
several times as fast as the ONNX file.  Such a file fits one OpenVINO version and instruction set:
:meth:`Backend.fingerprint`.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from edgekit import engine
from edgekit.core.errors import BundleError, MissingRequirement, ModelError
from edgekit.core.progress import Progress, Silent
from edgekit.core.reports import Achieved
from edgekit.engine import Probe, layers_path
from edgekit.engine.ov import enginefile, executed, precision, session
from edgekit.engine.ov.config import Config as Config
from edgekit.engine.ov.runner import OvEngine as OvEngine
from edgekit.onnxfile.graph import Graph, read_graph
from edgekit.onnxfile.interface import read_interface
from edgekit.runtime import processor

SILENT = Silent()
GAIN = "on x86 it is often faster than ONNX Runtime"
# Beside those that decide for ONNX Runtime too: what float layers may compute in.
_SETS = ("avx512_bf16", "amx_tile", "amx_bf16", "avx512_fp16", "amx_fp16", "fphp", "asimdhp", "bf16")


class Backend(engine.Backend):
    """OpenVINO on the processor of this machine."""

    config: Config
    suffix = ".ov"

    def require(self) -> None:
        """Raise unless OpenVINO is here, and the processor computes in the target's precision: tried by a run.

        Raises:
            MissingRequirement: one of the two.
        """
        precision.require(self.config.precision)

    def contends(self) -> bool:
        """Always: it knows no other device."""
        return True

    def gain(self) -> str:
        """On x86 it was measured (docs/measured.md), on Arm it was not."""
        return GAIN if platform.machine().lower() in ("x86_64", "amd64") else ""

    def fingerprint(self) -> dict[str, Any]:
        """Version, device and instruction sets: what the compiled model was made for."""
        facts = {
            "engine": "ov",
            "openvino": session.version(),
            "device": session.DEVICE,
            "machine": platform.machine(),
            "isa": processor.instruction_sets() + processor.instruction_sets(_SETS),
        }
        products = processor.int8_products()
        return facts if products is None else facts | {"int8_products": products}

    def quantization_profile(self) -> str:
        """The placement that the target names, or that of this machine's processor."""
        here = "openvino" if processor.int8_products() is None else "openvino-avx2"
        return self.config.profile or here

    def build(self, source: Path, target: Path, progress: Progress = SILENT) -> None:
        """Write the model of ``source`` as OpenVINO compiles it for this machine.

        Raises:
            ModelError: OpenVINO refuses the model.
            MissingRequirement: the processor does not compute in the precision that the model is written in.
            EnvironmentFault: its sums of eight-bit products would saturate on this processor.
        """
        inputs, outputs = read_interface(source)
        graph = read_graph(source)
        floats = precision.asked(graph)
        precision.require(floats)
        with progress.track(f"build {source.stem}"):
            blob = session.exported(source, self.config, precision.HINTS[floats], _names(graph))
        made = enginefile.EngineFile(session.version(), precision.HINTS[floats], inputs, outputs, blob)
        enginefile.write(target, made)

    def engine(self, path: Path) -> OvEngine:
        """The engine in ``path``, made by :meth:`build`."""
        if not path.name.endswith(self.suffix):
            raise BundleError(f"{path}: not an engine of the ov backend (expected a name ending in {self.suffix})")
        return OvEngine(path, self.config)

    def achieved(self, path: Path, source: Path, precision: str) -> Achieved | None:
        """By the graph that OpenVINO ran when the engine was proven."""
        listed = layers_path(path)
        if not listed.is_file():
            return None
        return executed.achieved(listed.read_text(encoding="utf-8"), precision, read_graph(source))

    @staticmethod
    def probe() -> list[Probe]:
        """Run a convolution in every precision that OpenVINO can be asked for."""
        try:
            version = session.version()
        except MissingRequirement as missing:
            return [Probe("ov", False, f"not installed; {GAIN}", missing.install, optional=True)]
        try:
            ran = [name for name, hint in precision.HINTS.items() if precision.computes_in(hint) == hint]
        except ModelError as error:
            return [Probe("ov/cpu", False, f"OpenVINO {version}: {error}", session.INSTALL)]
        return [Probe("ov/cpu", True, f"OpenVINO {version}; ran a model in {', '.join(ran)}")]


def _names(graph: Graph) -> frozenset[str]:
    """Of nodes and tensors."""
    tensors = (name for node in graph.nodes for name in (node.name, *node.inputs, *node.outputs))
    return frozenset(tensors) | frozenset(graph.constants)
