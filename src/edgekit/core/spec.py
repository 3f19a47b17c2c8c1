"""The spec: what a user writes in ``edgekit.yaml``, checked.

Plugin sections (task, data, compress steps, targets) are validated by the
``Config`` of the plugin they name, so a new plugin needs no change here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from edgekit.core import suggest
from edgekit.core.golden import GOLDEN_FRAMES
from edgekit.core.reports import KpiKind
from edgekit.core.sections import ModuleSection, PluginSection

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""Names that become parts of file names."""


class Section(BaseModel):
    """A mapping of the spec: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _beside_the_spec(path: Path, info: ValidationInfo) -> Path:
    base = (info.context or {}).get("base")
    return path if base is None or path.is_absolute() else Path(base) / path


SpecPath = Annotated[Path, AfterValidator(_beside_the_spec)]
"""A path; a relative one is taken from the folder of the spec file."""


class Misfit(ValueError):
    """A section that does not fit another one of the spec: at its key ``key``."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


Dtype = Literal["float32", "float16", "uint8", "int32", "int64", "bool"]
"""Types of model inputs."""


class TensorShape(Section):
    """Shape (batch first; fixed sizes) and dtype of one model input."""

    shape: tuple[Annotated[int, Field(ge=1)], ...]
    dtype: Dtype = "float32"


class ModelConfig(Section):
    """Where the trained model is: a factory with weights, a ``.pt2`` file, or an ONNX file."""

    factory: str | None = Field(None, description="file.py:callable or package.module:callable")
    args: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of the factory")
    exported: SpecPath | None = Field(None, description="a torch.export .pt2 file")
    onnx: SpecPath | None = Field(None, description="an ONNX file, taken as it is")
    weights: SpecPath | None = Field(None, description="a checkpoint or .safetensors file; nothing is unpickled")
    weights_key: str | None = Field(None, min_length=1, description="where in it the weights are, e.g. ema.module")
    strip_prefix: str | None = Field(None, description="removed from the keys of the state_dict, e.g. 'module.'")
    ignore: tuple[str, ...] = Field((), description="patterns of keys that are left out, e.g. '*total_ops'")
    inputs: dict[str, TensorShape] = Field(min_length=1)
    outputs: tuple[str, ...] = Field(min_length=1)
    base: SkipJsonSchema[SpecPath] = Field(
        Path(), exclude=True, validate_default=True, description="folder that factory files are relative to"
    )

    @field_validator("factory")
    @classmethod
    def _has_callable(cls, value: str | None) -> str | None:
        if value is not None and value.count(":") != 1:
            raise ValueError("expected 'file.py:callable' or 'package.module:callable'")
        return value

    @model_validator(mode="after")
    def _one_source(self) -> ModelConfig:
        given = [name for name in ("factory", "exported", "onnx") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of factory, exported, onnx; found {', '.join(given) or 'none'}")
        renaming = self.weights_key or self.strip_prefix or self.ignore
        if self.factory is None and (self.weights is not None or self.args or renaming):
            raise ValueError(
                "weights, weights_key, strip_prefix, ignore and args belong to a factory; "
                f"{given[0]} holds its own weights"
            )
        if len(set(self.outputs)) != len(self.outputs):
            raise ValueError(f"outputs has a name twice: {', '.join(self.outputs)}")
        return self


DataSection = Annotated[Any, PluginSection("data", "format", optional=True)]
InputSection = Annotated[Any, PluginSection("inputs", "kind", default="image")]
TaskSection = Annotated[Any, PluginSection("tasks", "kind")]
EngineSection = Annotated[Any, PluginSection("engine", "engine")]
TargetSection = Annotated[Any, PluginSection("engine", "engine", beside={"auto": "edgekit.engine:AutoConfig"})]
"""A target: of one engine, or ``auto``, the fastest that is installed."""
PruneSection = Annotated[Any, PluginSection("prune", "method", optional=True)]
DistillSection = Annotated[Any, PluginSection("distill", "method", optional=True)]
QuantizeSection = Annotated[Any, PluginSection("quantize", "method", optional=True)]
LadderSection = Annotated[Any, ModuleSection("edgekit.ladder")]


class DataSections(Section):
    """The datasets of the stages."""

    calibration: DataSection = None
    validation: DataSection = Field(None, description="frames that techniques choose by; neither of the other two")
    evaluation: DataSection = None
    training: DataSection = None


class CompressStep(Section):
    """One step of the compression, under the key that says what kind it is; steps run in the order of the list."""

    prune: PruneSection = Field(None, description="a technique of prune/: a smaller network")
    distill: DistillSection = Field(None, description="a technique of distill/: trained towards a teacher")
    quantize: QuantizeSection = Field(None, description="a technique of quantize/: ptq, half, mixed, qat")
    auto: LadderSection = Field(None, description="the accuracy ladder: the cheapest technique that holds max_drop")

    @model_validator(mode="before")
    @classmethod
    def _auto_under_its_own_key(cls, value: Any) -> Any:
        """``quantize: {method: auto, ...}``, the spelling of before there was a key ``auto``."""
        section = value.get("quantize") if isinstance(value, dict) else None
        if isinstance(section, dict) and section.get("method") == "auto" and "auto" not in value:
            rest = {key: inner for key, inner in value.items() if key != "quantize"}
            return rest | {"auto": {key: inner for key, inner in section.items() if key != "method"}}
        return value

    @model_validator(mode="after")
    def _one_kind(self) -> CompressStep:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            kinds = ", ".join(type(self).model_fields)
            raise ValueError(f"a step has one key, of {kinds}; found {', '.join(given) or 'none'}")
        return self

    @property
    def kind(self) -> str:
        """Its key."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)

    @property
    def technique(self) -> Any:
        """The technique's own ``Config``, an :class:`edgekit.technique.TechniqueConfig`."""
        return getattr(self, self.kind)


class ParityLimits(Section):
    """When an engine is not its typed model; what is not given here depends on the precision, see docs/parity.md."""

    integer_steps: float | None = Field(
        None, description="a layer with an integer result: distance from the unrounded value, in steps; rounding is 0.5"
    )
    float_steps: float | None = Field(
        None, description="a layer with a float result: distance in steps of the INT8 grid that its span would have"
    )
    output_rel_l2: float | None = Field(None, description="a dense output: relative L2 that always holds")
    output_share: float | None = Field(None, description="other outputs: share of labels or rows that may differ")
    output_noise: float | None = Field(
        None, ge=0, description="any output: part of the typed model's own distance to FP32 that always holds"
    )
    disagreement: float | None = Field(
        None, le=1, description="second check: mean disagreement of what the task makes of both that always holds"
    )
    disagreement_noise: float | None = Field(
        None, ge=0, description="second check: part of the typed model's own disagreement with FP32 that always holds"
    )
    frames: int = Field(16, ge=1, description="calibration frames for the second check, evenly spread")


class GoldenFrames(Section):
    """What a bundle keeps of the golden frames; see docs/bundle.md."""

    frames: int = Field(
        GOLDEN_FRAMES,
        ge=0,
        le=GOLDEN_FRAMES,
        description="how many stay in the bundle as they were read; 0: none, for people's privacy or a licence",
    )


KPI_LIMITS: tuple[KpiKind, ...] = ("min", "max", "max_drop", "baseline_drop", "baseline_ratio")


class Kpi(Section):
    """Limits on one metric, held against its confidence interval; see docs/gate.md.

    ``max_drop`` is against the control (FP32; of an INT8 TensorRT engine FP16) on the same frames, ``baseline_*``
    against a baseline bundle or run.
    """

    metric: str | None = Field(None, description="what is judged; default: the name of the KPI")
    min: float | None = None
    max: float | None = None
    max_drop: float | None = Field(None, ge=0, description="how much worse than the control, in the metric's unit")
    baseline_drop: float | None = Field(None, ge=0, description="how much worse than the baseline, in its unit")
    baseline_ratio: float | None = Field(None, ge=1, description="how many times worse than the baseline; 1.05: 5 %")
    where: dict[str, str] | None = Field(
        None, min_length=1, max_length=1, description="column and value of one slice, or '*': each slice of the column"
    )
    target: str | None = Field(None, description="applies to this target only")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="of the two-sided interval")
    allow_undecided: bool = Field(False, description="an interval that contains the limit does not fail the gate")

    @model_validator(mode="after")
    def _has_limit(self) -> Kpi:
        if all(getattr(self, limit) is None for limit in KPI_LIMITS):
            raise ValueError(
                "a KPI needs a limit: min, max or max_drop; or baseline_drop or baseline_ratio, against a baseline"
            )
        return self


def _misfit(at: tuple[str, ...], message: str) -> PydanticCustomError:
    """A mistake between sections, with the place to point at."""
    # Braces would be read as a template's fields.
    return PydanticCustomError("misfit", "{text}", {"text": message, "at": at})


def _without_entry(name: str, tensor: TensorShape) -> str:
    rank, sizes = len(tensor.shape), list(tensor.shape)
    if rank == 4:
        entry = f"preprocess.{name}: {{resize: [height, width]}} when a frame goes in"
    elif sum(sizes) == 3 and rank <= 2:
        entry = (
            f"preprocess.{name}: {{kind: frame_size, order: height_width}} or width_height when the frame's own size "
            f"goes in, {{kind: constant, value: ...}} when the same numbers always do"
        )
    else:
        entry = f"preprocess.{name}: {{kind: constant, value: ...}} when the same numbers always go in"
    array = f"{{kind: array, source: ...}} when each frame brings an array of {sizes}"
    return f"this input has no entry under preprocess; add {entry}, or {array}"


class Spec(Section):
    """The whole file."""

    name: str = Field(pattern=NAME)
    model: ModelConfig
    preprocess: dict[str, InputSection]
    task: TaskSection
    data: DataSections
    compress: tuple[CompressStep, ...] = Field((), description="any number of steps, run in order; none: FP32")
    targets: dict[str, TargetSection] = Field(min_length=1)
    kpis: dict[str, Kpi] = Field(default_factory=dict)
    parity: ParityLimits = Field(ParityLimits(), description="limits of the proof that an engine is its typed model")
    golden: GoldenFrames = Field(GoldenFrames(), description="what a bundle keeps of the frames that prove it")
    seed: int = Field(0, description="of random weights, when a factory is used without a weights file")

    @model_validator(mode="after")
    def _references(self) -> Spec:
        for name in self.preprocess:
            if name not in self.model.inputs:
                known = suggest.allowed(name, tuple(self.model.inputs))
                raise _misfit(("preprocess", name), f"no model input {name!r}; {known}")
        for name in self.model.inputs:
            if name not in self.preprocess:
                raise _misfit(("model", "inputs", name), _without_entry(name, self.model.inputs[name]))
        self._fit_inputs()
        for name in self.targets:
            if not re.fullmatch(NAME, name):
                raise _misfit(("targets", name), f"{name!r} becomes a folder's name; use letters, digits and . _ -")
        for role in ("calibration", "validation", "training"):
            data = getattr(self.data, role)
            if data is not None and data.evaluation_only:
                raise _misfit(("data", role), "these frames are kept for data.evaluation; choose others here")
        self._ordered_steps()
        for name, kpi in self.kpis.items():
            if kpi.target is not None and kpi.target not in self.targets:
                known = suggest.allowed(kpi.target, tuple(self.targets))
                raise _misfit(("kpis", name, "target"), f"{kpi.target!r} is no target; {known}")
        return self

    def _ordered_steps(self) -> None:
        """Refuse what would work on rounded weights: only the last step may change the numbers."""
        for number, step in enumerate(self.compress[:-1], 1):
            if step.technique.changes == "numbers":
                later = self.compress[number].kind
                raise _misfit(
                    ("compress", str(number), later),
                    f"step {number + 1} ({later}) needs a float network, and step {number} ({step.kind}) leaves "
                    f"rounded numbers; let {step.kind} be the last step, or leave one of the two out",
                )

    def _fit_inputs(self) -> None:
        """Fill in what the model's inputs decide, so that the bundle's preprocessing needs nothing but itself."""
        for name, section in self.preprocess.items():
            try:
                self.preprocess[name] = section.fitted(self.model.inputs[name])
            except Misfit as error:
                text = str(error).replace("{input}", name)
                raise _misfit(("preprocess", name, error.key), text) from error
        try:
            self.task.check_inputs(self.preprocess)
        except Misfit as error:
            raise _misfit(("preprocess", *error.key.split(".")), str(error)) from error

    @property
    def base(self) -> Path:
        """Folder of the spec file."""
        return self.model.base
