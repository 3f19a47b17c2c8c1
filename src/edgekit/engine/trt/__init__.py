"""TensorRT: ``tensorrt`` 10.x and 11.x and TensorRT for RTX, one backend.

A build reads one typed ONNX file (Q/DQ and Cast say what computes in which type) and writes the serialized engine with
the facts of :mod:`edgekit.engine.trt.guard` beside it.  An engine fits one TensorRT version and one GPU, so it is built
where it runs, or with ``host``; TensorRT for RTX builds for a GPU that is not here.
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit import engine
from edgekit.core.artifacts import write_bytes
from edgekit.core.errors import EdgekitError, MissingRequirement
from edgekit.core.progress import Progress, Silent
from edgekit.core.reports import Achieved
from edgekit.engine import Probe, layers_path
from edgekit.engine._probing import PROBE_MODEL
from edgekit.engine.trt import bindings, builder, errors, guard, inspector
from edgekit.engine.trt.config import Config as Config
from edgekit.engine.trt.config import ShapeRange as ShapeRange
from edgekit.onnxfile.graph import read_graph

if TYPE_CHECKING:
    from edgekit.engine.trt.runner import TrtEngine

SILENT = Silent()


class Backend(engine.Backend):
    """TensorRT on this machine, or for a GPU that is not here."""

    config: Config
    suffix = ".engine"
    # Every device here computes FP16 at least twice as fast as FP32, and FP16 costs no accuracy to speak of.
    int8_control = "fp16"
    # So INT8 is chosen for speed alone.
    slower_fails = True

    def require(self) -> None:
        """Raise unless an engine of this target can be built here; with ``host`` the board is asked later.

        Raises:
            MissingRequirement: TensorRT is not here.
            EnvironmentFault: it cannot build for the device or with the options; the message says what can.
        """
        if self.config.host is None:
            api = bindings.load()
            builder.refuse(api, guard.this_machine(api), self.config)

    def fingerprint(self) -> dict[str, Any]:
        """Library and GPU; the engine's own facts say more, see :mod:`edgekit.engine.trt.guard`."""
        api = bindings.load()
        here = guard.this_machine(api)
        return {
            "engine": "trt",
            "flavour": api.flavour,
            "tensorrt": api.version,
            "compute_capability": self.config.wanted_capability or here.compute_capability,
        }

    def same_fact(self, key: str, built: Any, here: Any) -> bool:
        """A version-compatible engine runs on later versions of TensorRT."""
        if key == "tensorrt" and isinstance(built, str) and isinstance(here, str):
            return guard.same_version(built, here, self.config.version_compatible)
        return super().same_fact(key, built, here)

    def quantization_profile(self) -> str:
        """The placement that TensorRT fuses."""
        return "tensorrt"

    def runs_elsewhere(self) -> str:
        """The host, or that this machine has not the GPU that the engine is for."""
        if self.config.host is not None:
            return f"the engine is built and runs on {self.config.host}"
        here = guard.this_machine(bindings.load())
        wanted, found = self.config.wanted_capability or here.compute_capability, here.compute_capability
        if found is None:
            return f"there is no NVIDIA GPU on this machine to run an engine for compute capability {wanted}"
        if found != wanted and not self.config.hardware_compatible:
            return f"the engine is for compute capability {wanted}, and the GPU of this machine has {found}"
        return ""

    def build(self, source: Path, target: Path, progress: Progress = SILENT) -> None:
        """Write the engine of the typed ONNX file ``source``, and its facts beside it (``<target>.json``).

        A weight-stripped engine has a copy of ``source`` beside it too; a bundle has it among its models.

        Raises:
            ModelError: TensorRT does not take the model.
            EnvironmentFault: it cannot build for the device, or ran out of memory.
            OutputError: the files cannot be written.
        """
        api = bindings.load()
        machine = guard.this_machine(api)
        built = builder.build(api, machine, source, self.config, progress)
        native = machine.compute_capability == built.capability
        facts = guard.Facts(
            engine_sha256=hashlib.sha256(built.plan).hexdigest(),
            onnx_sha256=built.onnx_sha256,
            flavour=api.flavour,
            tensorrt=api.version,
            compute_capability=built.capability,
            cuda=machine.cuda if native else None,
            device=machine.device if native else None,
            driver=machine.driver if native else None,
            options=built.options,
            timing_cache_sha256=built.timing_cache_sha256,
        )
        # The facts come first: an engine without them is refused, facts without their engine are nothing.
        guard.write(target, facts)
        if self.config.weight_stripped:
            write_bytes(guard.weights_beside(target), source.read_bytes())
        write_bytes(target, built.plan)

    def engine(self, path: Path) -> TrtEngine:
        """The engine in ``path``; its facts are checked against this machine when it is opened."""
        from edgekit.engine.trt.runner import TrtEngine

        return TrtEngine(path, self.config)

    def achieved(self, path: Path, source: Path, precision: str) -> Achieved | None:
        """By the engine inspector's list, where the engine was built with ``detailed_profiling``."""
        listed = layers_path(path)
        if not self.config.detailed_profiling or not listed.is_file():
            return None
        document = listed.read_text(encoding="utf-8")
        return inspector.inspect(document, precision, read_graph(source), self.config.dla_core is not None)

    @staticmethod
    def probe() -> list[Probe]:
        """Build a one-node model, for the GPU of this machine or for the newest that the library knows."""
        try:
            api = bindings.load()
        except MissingRequirement as missing:
            return [Probe("trt", False, "not importable", missing.install)]
        here = guard.this_machine(api)
        about = f"{api.flavour} {api.version}"
        capability = here.compute_capability or next(reversed(api.capabilities()), None)
        if capability is None:
            return [Probe("trt", False, f"{about}: it builds on an NVIDIA GPU only, and none answers", errors.DRIVER)]
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "probe.onnx"
            source.write_bytes(PROBE_MODEL)
            config = Config(engine="trt", compute_capability=capability)
            try:
                Backend(config).build(source, source.with_suffix(Backend.suffix))
            except EdgekitError as error:
                return [Probe("trt", False, f"{about}: a build fails: {error}", errors.install_line())]
        found = [Probe("trt/build", True, f"{about}; built an engine for compute capability {capability}")]
        if here.device is None:
            found.append(
                Probe("trt/run", False, "no NVIDIA GPU answers, so engines are built but not run", errors.DRIVER)
            )
        return found
