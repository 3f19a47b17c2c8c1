"""The contenders: one function each, from an FP32 ONNX file and calibration frames to a quantized model file.

To add one, write ``quantize(work)`` and a row of :data:`CONTENDERS`.  Each runs in a process of its own.
"""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.peers.common import Frames
from benchmarks.peers.models import Model
from benchmarks.peers.runtimes import ENGINE

from edgekit.core.artifacts import sha256_of
from edgekit.runtime import sessions

Runtime = Literal["ort", "openvino"]


@dataclass(frozen=True)
class Work:
    """What a contender gets: write the model to ``target``; ``scratch`` is an empty folder."""

    model: Model
    source: Path
    frames: Frames
    target: Path
    scratch: Path
    camvid: Path


@dataclass(frozen=True)
class Contender:
    """One way to quantize.

    Args:
        title: for the page.
        quantize: does it.
        imports: modules that are imported before the clock starts.
        packages: distributions whose versions decide the result.
        runtime: what the result runs in; contenders are compared within one runtime.
        default: part of a run that names no contender.
        models: only for these; None: for all.
        reference: the FP32 model itself, in the runtime's format.
        without: optimisations of ONNX Runtime that this contender's files are run without.
        engine: its files are engines, optimised already, as edgekit builds and opens them.
    """

    title: str
    quantize: Callable[[Work], None]
    imports: tuple[str, ...]
    packages: tuple[str, ...]
    runtime: Runtime = "ort"
    default: bool = True
    models: tuple[str, ...] | None = None
    reference: bool = False
    without: tuple[str, ...] = ()
    engine: bool = False

    @property
    def suffix(self) -> str:
        return ".xml" if self.runtime == "openvino" else ENGINE if self.engine else ".onnx"

    def digest(self) -> str:
        """Of the function and what it is closed over, so that another setting is another result."""
        cells = [cell.cell_contents for cell in self.quantize.__closure__ or ()]
        return sha256_of([inspect.getsource(self.quantize), [repr(value) for value in cells]])


def _fp32(work: Work) -> None:
    shutil.copyfile(work.source, work.target)


def _fp32_openvino(work: Work) -> None:
    import openvino

    openvino.save_model(openvino.convert_model(work.source), work.target, compress_to_fp16=False)


def _edgekit(technique: str, profile: str = "ort-x86", **config: Any) -> Callable[[Work], None]:
    """A technique of edgekit with its defaults, as a typed model."""

    def quantize(work: Work) -> None:
        model = _typed(work, technique, profile, config)
        if work.target.suffix == ".onnx":
            work.target.write_bytes(model)
        else:
            _save_for_openvino(model, work.target)

    return quantize


def _edgekit_engine(**config: Any) -> Callable[[Work], None]:
    """The engine that edgekit builds on this machine: its own placement here, and edgekit-ops where it is installed."""

    def quantize(work: Work) -> None:
        from benchmarks.peers.common import THREADS

        from edgekit.engine import ort

        backend = ort.Backend(ort.Config(engine="ort", threads=THREADS))
        typed = work.scratch / "typed.onnx"
        typed.write_bytes(_typed(work, "ptq", backend.quantization_profile(), config))
        backend.build(typed, work.target)

    return quantize


def _typed(work: Work, technique: str, profile: str, config: Mapping[str, Any]) -> bytes:
    """What a technique makes; those that measure get the validation split, never the test one."""
    from benchmarks.peers.bench import ValidationBench

    from edgekit import ladder
    from edgekit.core import plugins
    from edgekit.technique import Job

    module = ladder if technique == "auto" else plugins.load("quantize", technique)
    floor = {"max_drop": MAX_DROP[work.model.metric]} if "max_drop" in module.Config.model_fields else {}
    bench = ValidationBench(work.model, work.camvid, work.source, work.frames)
    job = Job(source=work.source, frames=work.frames, scratch=work.scratch, bench=bench, profile=profile)
    made: bytes = module.apply(job, module.Config.model_validate({"method": technique, **config, **floor})).model
    return made


def _save_for_openvino(model: bytes, target: Path) -> None:
    import openvino

    openvino.save_model(openvino.Core().read_model(model), target, compress_to_fp16=False)


def reader(frames: Frames) -> Any:
    """The frames as ONNX Runtime's reader, and as modelopt's (``get_first`` and ``rewind``)."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rewind()

        def __len__(self) -> int:
            return len(frames)

        def set_range(self, start_index: int, end_index: int) -> None:
            self.remaining: Iterator[int] = iter(range(start_index, end_index))

        def get_next(self) -> dict[str, Any] | None:
            index = next(self.remaining, None)
            return None if index is None else frames[index]

        def get_first(self) -> dict[str, Any]:
            return frames[0]

        def rewind(self) -> None:
            self.set_range(0, len(frames))

    return Reader()


def stride(frames: int, most: int = 8) -> int:
    """The largest number of frames up to ``most`` that divides ``frames``, as ONNX Runtime demands."""
    return next(size for size in range(min(most, frames), 0, -1) if frames % size == 0)


def _ort_static(method: str) -> Callable[[Work], None]:
    """As ONNX Runtime's documentation advises for x86 with VNNI; percentile and entropy with their defaults.

    Their calibrators keep every activation of all frames until the end, tens of GiB here, unless they
    get the frames a few at a time.
    """

    def quantize(work: Work) -> None:
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        prepared = work.scratch / "prepared.onnx"
        # "Most effective with transformer based models", and it fails on some others.
        quant_pre_process(work.source, prepared, skip_symbolic_shape=not work.model.transformer)
        quantize_static(
            prepared,
            work.target,
            reader(work.frames),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod[method],
            extra_options={} if method == "MinMax" else {"CalibStridedMinMax": stride(len(work.frames))},
        )

    return quantize


def _ort_dynamic(work: Work) -> None:
    """What ONNX Runtime's documentation advises for transformers: ranges of activations at run time."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = work.scratch / "prepared.onnx"
    quant_pre_process(work.source, prepared)
    # Its integer convolution takes no signed weights: MatMul alone, as in the examples for transformers.
    quantize_dynamic(
        prepared, work.target, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8
    )


def _nncf_quantized(work: Work, model: Any) -> Any:
    import nncf

    return nncf.quantize(
        model,
        nncf.Dataset(work.frames),
        subset_size=len(work.frames),
        model_type=nncf.ModelType.TRANSFORMER if work.model.transformer else None,
    )


def _nncf_onnx(work: Work) -> None:
    import onnx

    onnx.save(_nncf_quantized(work, onnx.load(work.source)), work.target)


def _nncf_openvino(work: Work) -> None:
    import openvino

    openvino.save_model(_nncf_quantized(work, openvino.convert_model(work.source)), work.target)


def _modelopt(method: str | None) -> Callable[[Work], None]:
    def quantize(work: Work) -> None:
        from modelopt.onnx.quantization import quantize

        source = work.scratch / "source.onnx"  # intermediate files are written beside it
        shutil.copyfile(work.source, source)
        quantize(
            str(source),
            calibration_data_reader=reader(work.frames),  # without data it calibrates on noise, silently
            calibration_method=method,
            calibration_eps=["cpu"],
            high_precision_dtype="fp32",
            output_path=str(work.target),
            log_level="WARNING",
        )

    return quantize


# Of edgekit's techniques that hold a floor, on the validation split, by metric: agreement with FP32 on
# about a hundred frames moves in steps of a hundredth.
MAX_DROP = {"segmentation": 0.005, "agreement": 0.05, "detection": 0.05}

_ORT = (("onnx", "onnxruntime.quantization"), ("onnx", "onnxruntime"))
_NNCF_ORT = (("onnx", "onnxruntime", "nncf"), ("nncf", "onnx", "onnxruntime"))
_NNCF_OV = (("openvino", "nncf"), ("nncf", "openvino"))
_MODELOPT = (("onnx", "modelopt.onnx.quantization"), ("nvidia-modelopt", "onnx", "onnxruntime"))
_EDGEKIT = (
    ("onnx", "onnxruntime.quantization", "edgekit.quantize.ptq", "benchmarks.peers.bench"),
    ("edgekit", "onnx", "onnxruntime"),
)

_EDGEKIT_OV = (("openvino", *_EDGEKIT[0]), (*_EDGEKIT[1], "openvino"))

# As edgekit's own engines: see docs/decisions/0006-own-placement-per-target.md.
_WITHOUT = tuple(sessions.unwanted())

CONTENDERS: dict[str, Contender] = {
    "fp32": Contender("FP32", _fp32, ("onnxruntime",), ("onnxruntime",), reference=True),
    "edgekit": Contender("edgekit ptq", _edgekit("ptq"), *_EDGEKIT, without=_WITHOUT),
    "edgekit-bias": Contender(
        "edgekit ptq, bias correction", _edgekit("ptq", bias_correction=True), *_EDGEKIT, without=_WITHOUT
    ),
    "edgekit-engine": Contender("edgekit ptq, the engine", _edgekit_engine(), *_EDGEKIT, without=_WITHOUT, engine=True),
    "edgekit-bias-engine": Contender(
        "edgekit ptq, bias correction, the engine",
        _edgekit_engine(bias_correction=True),
        *_EDGEKIT,
        without=_WITHOUT,
        engine=True,
    ),
    "edgekit-mixed": Contender(
        "edgekit mixed",
        _edgekit("mixed"),
        *_EDGEKIT,
        default=False,
        without=_WITHOUT,
    ),
    "edgekit-auto": Contender("edgekit auto", _edgekit("auto"), *_EDGEKIT, without=_WITHOUT),
    "ort-minmax": Contender("ONNX Runtime static, MinMax", _ort_static("MinMax"), *_ORT),
    "ort-percentile": Contender("ONNX Runtime static, Percentile", _ort_static("Percentile"), *_ORT),
    "ort-entropy": Contender("ONNX Runtime static, Entropy", _ort_static("Entropy"), *_ORT, default=False),
    "ort-dynamic": Contender("ONNX Runtime dynamic", _ort_dynamic, *_ORT, models=("vit",)),
    "nncf": Contender("NNCF, ONNX", _nncf_onnx, *_NNCF_ORT),
    "modelopt": Contender("ModelOpt ONNX, entropy", _modelopt(None), *_MODELOPT),
    "modelopt-max": Contender("ModelOpt ONNX, max", _modelopt("max"), *_MODELOPT, default=False),
    "fp32-openvino": Contender(
        "FP32", _fp32_openvino, ("openvino",), ("openvino",), runtime="openvino", reference=True
    ),
    "edgekit-openvino": Contender(
        "edgekit ptq, OpenVINO", _edgekit("ptq", "openvino"), *_EDGEKIT_OV, runtime="openvino"
    ),
    "edgekit-bias-openvino": Contender(
        "edgekit ptq, bias correction, OpenVINO",
        _edgekit("ptq", "openvino", bias_correction=True),
        *_EDGEKIT_OV,
        runtime="openvino",
    ),
    "nncf-openvino": Contender("NNCF, OpenVINO", _nncf_openvino, *_NNCF_OV, runtime="openvino"),
}
# Speed and accuracy of a contender are given against this one of its runtime.
REFERENCES: dict[Runtime, str] = {"ort": "fp32", "openvino": "fp32-openvino"}


def chosen(names: list[str] | None) -> dict[str, Contender]:
    """The named contenders (None: the default ones; ``all``), and the FP32 references of their runtimes."""
    if names == ["all"]:
        return dict(CONTENDERS)
    unknown = sorted(set(names or ()) - set(CONTENDERS))
    if unknown:
        raise SystemExit(f"unknown contender {unknown[0]!r}; there are {', '.join(CONTENDERS)}")
    picked = {name for name, one in CONTENDERS.items() if (name in names if names else one.default)}
    picked |= {REFERENCES[CONTENDERS[name].runtime] for name in picked}
    return {name: one for name, one in CONTENDERS.items() if name in picked}
