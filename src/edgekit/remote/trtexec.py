"""Command lines for ``trtexec``, the same options spelt for the version that is there.

What a ``trtexec`` understands is read from its own help page: 11.x has no precision flags (every network is
strongly typed) and replays CUDA graphs unless told not to, 10.x the other way round
(https://docs.nvidia.com/deeplearning/tensorrt/latest/api/migration/tensorrt-10x-to-11x-trtexec.html).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit.core.errors import EnvironmentFault, InputError
from edgekit.onnxfile.graph import read_graph

if TYPE_CHECKING:
    from edgekit.engine.trt import Config

Version = tuple[int, int, int]

OLDEST: Version = (10, 0, 0)
# Before it, explicit Q/DQ in a strongly typed network is not dependable; precision flags are.
TYPED: Version = (10, 12, 0)
_PRECISION_FLAGS = {"int8": "--int8", "float16": "--fp16", "bfloat16": "--bf16"}
# TensorProto.DataType of a Cast.
_CAST = {10: "float16", 16: "bfloat16"}


@dataclass(frozen=True)
class Tool:
    """A ``trtexec``: where it is, its version, and the flags of its help page."""

    path: str
    version: Version
    flags: frozenset[str]
    build: int | None = None

    @property
    def version_text(self) -> str:
        """As the Python bindings of the same library say it: ``10.3.0``, or with the build ``10.16.2.10``."""
        return version_text(self.version, self.build)


@dataclass(frozen=True)
class Files:
    """Names of the files of one build, in the folder that ``trtexec`` runs in."""

    model: str = "model.onnx"
    engine: str = "model.engine"
    cache: str = "timing.cache"
    layers: str = "layers.json"
    profile: str = "profile.json"


def tool(path: str, help_page: str) -> Tool:
    """What ``trtexec --help`` says about itself.

    Raises:
        EnvironmentFault: it is no ``trtexec``, or one that is too old.
    """
    banner = re.search(r"&&&& RUNNING TensorRT\.trtexec \[TensorRT v(\d+)\](?: \[b(\d+)\])?", help_page)
    if banner is None:
        start = " ".join(help_page.split())[:120]
        raise EnvironmentFault(f"{path}: its help page names no TensorRT version; is it trtexec? It said {start!r}")
    flags = frozenset(re.findall(r"--[A-Za-z]\w+", help_page))
    found = Tool(path, version_of(banner[1]), flags, int(banner[2]) if banner[2] else None)
    if found.version < OLDEST:
        raise EnvironmentFault(f"{path}: TensorRT {found.version_text} is too old; JetPack 6 and later bring 10.3")
    return found


def version_of(digits: str) -> Version:
    """``100300`` is 10.3.0, ``110401`` 11.4.1, and before version 10 ``8601`` was 8.6.1."""
    number = int(digits)
    unit = 10000 if number >= 100000 else 1000
    return number // unit, number % unit // 100, number % 100


def version_text(version: Version, build: int | None) -> str:
    """Such as ``10.3.0`` or, with the build, ``10.16.2.10``."""
    return ".".join(map(str, version if build is None else (*version, build)))


def build_arguments(tool: Tool, config: Config, types: frozenset[str], files: Files) -> list[str]:
    """Arguments that build an engine, measure it, and write layers, per-layer profile and timing cache.

    Args:
        tool: the ``trtexec`` that will run.
        config: what is wanted of the engine.
        types: those of :func:`types_of` the model.
        files: the names to read and write.

    Raises:
        InputError: this ``trtexec`` has no flag for something that ``config`` asks for.
    """
    words = [
        f"--onnx={files.model}",
        f"--saveEngine={files.engine}",
        f"--timingCacheFile={files.cache}",
        f"--exportLayerInfo={files.layers}",
        f"--profilingVerbosity={'detailed' if config.detailed_profiling else 'layer_names_only'}",
        "--noTF32",  # FP32 means FP32
        *_typing(tool, types),
        *_options(config),
        *_shapes(config),
        *_measuring(tool, config, files),
    ]
    return _understood(tool, words)


def run_arguments(tool: Tool, config: Config, engine: str, inputs: Mapping[str, str], shapes: list[str]) -> list[str]:
    """Arguments that run one query on given inputs and write every output to a file of raw bytes.

    Args:
        tool: the ``trtexec`` that will run.
        config: that of the engine.
        engine: its file.
        inputs: file of raw bytes by input.
        shapes: ``name:1x3x4x5`` of every input; only for a model with dynamic sizes.
    """
    words = [
        f"--loadEngine={engine}",
        "--loadInputs=" + ",".join(f"{_quoted(name)}:{file}" for name, file in inputs.items()),
        "--dumpRawBindingsToFile",
        "--iterations=1",
        "--duration=0",
        "--warmUp=0",
    ]
    if shapes:
        words.append("--shapes=" + ",".join(shapes))
    if config.dla_core is not None:
        words.append(f"--useDLACore={config.dla_core}")
    if "--includeDataTransfers" in tool.flags:  # 11.x leaves the copies away unless told to make them
        words.append("--includeDataTransfers")
    return _understood(tool, words)


def shape_words(shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """``name:1x3x4x5`` of every input."""
    return [f"{_quoted(name)}:{'x'.join(map(str, shape))}" for name, shape in shapes.items()]


def types_of(model: Path) -> frozenset[str]:
    """The reduced types that a typed ONNX file computes in: of ``int8``, ``float16`` and ``bfloat16``.

    Raises:
        ModelError: the file is not a whole ONNX model.
    """
    graph = read_graph(model)
    found = {tensor.dtype for tensor in graph.constants.values() if tensor.dtype in ("float16", "bfloat16")}
    for node in graph.nodes:
        if node.op in ("QuantizeLinear", "DequantizeLinear"):
            found.add("int8")
        elif node.op == "Cast" and node.attributes.get("to") in _CAST:
            found.add(_CAST[node.attributes["to"]])
    return frozenset(found)


def _typing(tool: Tool, types: frozenset[str]) -> list[str]:
    if "--fp16" not in tool.flags:
        return []
    if tool.version >= TYPED:
        return ["--stronglyTyped"]
    return [_PRECISION_FLAGS[name] for name in sorted(types, reverse=True)]


def _options(config: Config) -> list[str]:
    chosen = {
        "--memPoolSize=workspace:{}": config.workspace_mib,
        "--builderOptimizationLevel={}": config.optimization_level,
        "--maxAuxStreams={}": config.max_aux_streams,
        "--useDLACore={}": config.dla_core,
    }
    wanted = {
        "--versionCompatible": config.version_compatible,
        "--hardwareCompatibilityLevel=ampere+": config.hardware_compatible,
        "--stripWeights": config.weight_stripped,
        "--sparsity=enable": config.sparse_weights,
        "--allowGPUFallback": config.dla_core is not None and config.gpu_fallback,
    }
    numbers = [form.format(value) for form, value in chosen.items() if value is not None]
    return numbers + [word for word, wants in wanted.items() if wants]


def _shapes(config: Config) -> list[str]:
    words = []
    for index, profile in enumerate(config.profiles):
        # The shapes of a profile stand behind its number.
        words.append(f"--profile={index}")
        for end in ("min", "opt", "max"):
            words.append(f"--{end}Shapes=" + ",".join(shape_words({n: getattr(r, end) for n, r in profile.items()})))
    return words


def _measuring(tool: Tool, config: Config, files: Files) -> list[str]:
    if config.weight_stripped:  # there is nothing to compute with
        return ["--skipInference"]
    words = [f"--exportProfile={files.profile}", "--separateProfileRun"]
    graph = config.cuda_graph and config.dla_core is None and not config.profiles
    if "--noCudaGraph" in tool.flags:
        return words if graph else [*words, "--noCudaGraph"]
    return [*words, "--useCudaGraph"] if graph else words


def _understood(tool: Tool, words: list[str]) -> list[str]:
    for word in words:
        flag = word.split("=")[0]
        if flag not in tool.flags:
            raise InputError(
                f"trtexec of TensorRT {tool.version_text} has no {flag}; remove the key of the target that asks for "
                "it, or build with another TensorRT"
            )
    return words


def _quoted(name: str) -> str:
    # A colon ends the name of a tensor unless it stands in quotes.
    return f"'{name}'" if ":" in name else name
