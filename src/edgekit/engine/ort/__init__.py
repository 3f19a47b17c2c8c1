"""ONNX Runtime: the embedded default, on the CPU or through the CUDA provider when it really runs.

An engine is the graph that ONNX Runtime optimised for this processor; it is loaded with optimisation off, which starts
twice as fast.  Such a file fits one ONNX Runtime version and instruction set: :meth:`Backend.fingerprint`.
"""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgekit import engine
from edgekit.core.artifacts import write_bytes
from edgekit.core.errors import BundleError, MissingRequirement, ModelError, TensorError
from edgekit.core.progress import Progress, Silent
from edgekit.core.tensors import Arrays
from edgekit.engine import Part, Probe
from edgekit.engine._probing import PROBE_MODEL
from edgekit.engine.ort import extension, isolated, operators
from edgekit.engine.ort.config import Config as Config
from edgekit.engine.ort.runner import OrtEngine as OrtEngine
from edgekit.engine.ort.runner import reference as reference
from edgekit.engine.ort.session import INSTALL_CUDA, open_session, options_of, provider_of, runtime, translated
from edgekit.onnxfile import names
from edgekit.onnxfile.parts import without_opset
from edgekit.runtime import processor, sessions

SILENT = Silent()
_DOT_PRODUCTS = ("avx512_vnni", "avx_vnni", "asimddp")


class Backend(engine.Backend):
    """ONNX Runtime on this machine."""

    config: Config
    suffix = ".ort.onnx"

    def require(self) -> None:
        """Raise :class:`MissingRequirement` when ONNX Runtime or the provider is not installed here."""
        provider_of(self.config)

    def contends(self) -> bool:
        """On the processor, with its own provider."""
        return self.config.provider == "cpu"

    def fingerprint(self) -> dict[str, Any]:
        """Version, provider and instruction set: what the optimised graph was made for."""
        facts = {
            "engine": "ort",
            "onnxruntime": runtime().__version__,
            "provider": self.config.provider,
            "machine": platform.machine(),
            "isa": processor.instruction_sets(),
        }
        if (products := processor.int8_products()) is not None:
            facts["int8_products"] = products
        if (version := self.operators()) is not None:
            facts[extension.FACT] = version
        return facts

    def operators(self) -> int | None:
        """Version of the operators that engines may be built with here; None: the target or the machine has none."""
        return extension.version() if self.config.operators and self.config.provider == "cpu" else None

    def hint(self, source: Path) -> str:
        """Operators that are not installed, where they would compute something of the model."""
        if not self.config.operators or self.config.provider != "cpu" or self.operators() is not None:
            return ""
        count = operators.applicable(_read(source))
        return f"{extension.absent()}; {count} parts of this one" if count else ""

    def made_for(self, path: Path) -> dict[str, Any]:
        """The fingerprint, which has operators only if the engine uses them."""
        facts = {key: fact for key, fact in self.fingerprint().items() if key != extension.FACT}
        used = extension.needed(path)
        return facts if used is None else facts | {extension.FACT: used}

    def admit(self, facts: Mapping[str, Any]) -> None:
        """Raise :class:`MissingRequirement` where the engine uses operators that are not installed here."""
        if (used := facts.get(extension.FACT)) is not None:
            extension.require(used)

    def same_fact(self, key: str, built: Any, here: Any) -> bool:
        """As everywhere; an engine without operators runs where there are some."""
        return super().same_fact(key, built, here) or (key == extension.FACT and built is None)

    def quantization_profile(self) -> str:
        """The placement that the target names, or that of this machine's processor and operators."""
        found = self.portable_profile()
        if self.config.profile is not None or found != "ort-x86" or self.operators() is None:
            return found
        return "ort-x86-ops" if processor.instruction_sets(_DOT_PRODUCTS) else found  # who reads its grids needs them

    def portable_profile(self) -> str:
        """The placement that the target names, or that of this machine's architecture: a board may lack operators."""
        return self.config.profile or ("ort-arm" if platform.machine().lower() in ("aarch64", "arm64") else "ort-x86")

    def build(self, source: Path, target: Path, progress: Progress = SILENT) -> None:
        """Write the graph of ``source`` as ONNX Runtime optimises it for this machine.

        Raises:
            ModelError: ONNX Runtime refuses the model.
            MissingRequirement: the provider does not run here.
        """

        def optimise(model: bytes) -> bytes:
            options = options_of(self.config)
            options.graph_optimization_level = runtime().GraphOptimizationLevel.ORT_ENABLE_ALL
            with tempfile.TemporaryDirectory() as folder:
                optimised = Path(folder) / "model.onnx"
                options.optimized_model_filepath = str(optimised)
                open_session(sessions.prepared(model), options, self.config, str(source))
                # ONNX Runtime names every domain that it knows: this one, where the process has opened such an engine.
                return without_opset(names.stable(optimised.read_bytes()), extension.DOMAIN)

        with progress.track(f"build {source.stem}"):
            model, version = _read(source), self.operators()
            if version is None:
                made = optimise(model)
            else:
                vectors = bool(processor.instruction_sets(_DOT_PRODUCTS))
                made = operators.rewritten(model, version, optimise, self._as_written, vectors)
            write_bytes(target, made)

    def _as_written(self, model: bytes) -> Any:
        """A session that runs a model as it is written."""
        options = options_of(self.config)
        options.graph_optimization_level = runtime().GraphOptimizationLevel.ORT_DISABLE_ALL
        return open_session(model, options, self.config)

    def engine(self, path: Path) -> OrtEngine:
        """The engine in ``path``; for a plain ONNX file see :func:`reference`."""
        if not path.name.endswith(self.suffix):
            raise BundleError(f"{path}: not an engine of the ort backend (expected a name ending in {self.suffix})")
        return OrtEngine(path, self.config)

    def parts(self, path: Path, source: Path, frames: Sequence[Arrays]) -> Iterator[Part]:
        """See :meth:`edgekit.engine.Backend.parts`.

        Raises:
            ModelError: one of the files is no ONNX model, or ONNX Runtime refuses it.
            TensorError: a layer does not run.
        """
        with translated(f"{path.name}: a layer does not run", TensorError):
            yield from isolated.parts(path, source, frames, self._as_written)

    @staticmethod
    def probe() -> list[Probe]:
        """Run a one-node model on every provider this build of ONNX Runtime offers."""
        try:
            installed = runtime()
        except MissingRequirement as missing:
            return [Probe("ort", False, "not importable", missing.install)]
        version, found = f"ONNX Runtime {installed.__version__}", list[Probe]()
        found.append(_probe_provider("cpu", f"{version}, {', '.join(processor.instruction_sets()) or 'no SIMD found'}"))
        found.append(extension.probe())
        if "CUDAExecutionProvider" in installed.get_available_providers():
            found.append(_probe_provider("cuda", version))
        else:
            found.append(Probe("ort/cuda", False, "this build of ONNX Runtime has no CUDA provider", INSTALL_CUDA))
        return found


def _read(source: Path) -> bytes:
    try:
        return source.read_bytes()
    except OSError as error:
        raise ModelError(f"{source}: ONNX Runtime refuses the model: {error.strerror}") from error


def _probe_provider(provider: Literal["cpu", "cuda"], detail: str) -> Probe:
    name = f"ort/{provider}"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "probe.onnx"
        path.write_bytes(PROBE_MODEL)
        try:
            with reference(path, Config(engine="ort", provider=provider)) as opened:
                result = opened.infer({"x": np.ones((1, 4), np.float32)})["y"]
        except MissingRequirement as missing:
            return Probe(name, False, "installed, but it does not run (driver or libraries missing)", missing.install)
    works = bool((result == 2.0).all())
    return Probe(name, works, f"{detail}; ran a model" if works else f"{detail}; WRONG result {result}")
