"""The keys that all methods share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator, model_validator
from typing_extensions import Self

from edgekit.core import files
from edgekit.core.spec import ModelConfig, SpecPath
from edgekit.core.specfile import read_spec, spec_file
from edgekit.core.variant import Changes
from edgekit.technique import TechniqueConfig
from edgekit.training import TrainingConfig

_ROLES = ("weights", "exported", "onnx")


def _listed(value: Any) -> Any:
    return () if value is None else (value,) if isinstance(value, str | Path) else value


Teachers = Annotated[tuple[SpecPath, ...], BeforeValidator(_listed, json_schema_input_type=str | list[str] | None)]
"""One spec, or several whose outputs are averaged."""


class DistillConfig(TechniqueConfig):
    """Keys of every method."""

    changes: ClassVar[Changes] = "function"
    teacher: Teachers = Field(
        (), description="edgekit.yaml of the teacher; default: the user's own network, as before every step"
    )
    student: ModelConfig | None = Field(
        None, description="a network that takes the place of the one so far: a section like model"
    )
    labels: float = Field(0.0, ge=0, description="weight of the task's own loss beside the teacher; 0 needs no labels")
    keep: Literal["last", "best"] = Field(
        "last", description="weights of the last step, or those with the best metric on data.validation"
    )
    training: TrainingConfig = TrainingConfig(steps=1000, learning_rate=5e-4, warmup=50)

    @property
    def measures(self) -> bool:
        return self.keep == "best"

    def reads(self) -> tuple[Path, ...]:
        """The teacher's spec, its model and the student's, and the Python files beside their factories."""
        found: list[Path] = []
        for teacher in self.teacher:
            found += read_of_teacher(teacher)
        if self.student is not None:
            found += _files(self.student, "student")
        return tuple(found)

    @field_validator("student")
    @classmethod
    def _beside_the_spec(cls, student: ModelConfig | None, info: ValidationInfo) -> ModelConfig | None:
        base = (info.context or {}).get("base")
        return student if student is None or base is None else student.model_copy(update={"base": Path(base)})

    @model_validator(mode="after")
    def _patience_needs_a_metric(self) -> Self:
        if self.training.patience is not None and self.keep == "last":
            raise ValueError("training.patience: stops where the metric stays; set keep: best, which measures it")
        return self


class BesideOutputs(DistillConfig):
    """Keys of methods that match something inside, and the outputs beside it as ``logits`` does."""

    outputs: float = Field(1.0, ge=0, description="weight of the distance of the outputs, as in method logits")
    temperature: float = Field(2.0, gt=0, description="softens the distributions over the classes; 1 leaves them")
    logits: tuple[str, ...] | None = Field(
        None, description="outputs with class scores on axis 1; default: those that the task knows"
    )

    @model_validator(mode="after")
    def _one_teacher(self) -> Self:
        if len(self.teacher) > 1:
            raise ValueError("teacher: what is matched inside is that of one teacher; give one, or use method logits")
        return self


def _named_alike(value: Any) -> Any:
    return {name: name for name in value} if isinstance(value, list | tuple) else value


Layers = Annotated[dict[str, str], BeforeValidator(_named_alike, json_schema_input_type=list[str] | dict[str, str])]
"""Layers of the student and of the teacher, patterns with ``*``; a list: the names are the same."""


def read_of_teacher(spec: Path) -> list[Path]:
    """The files that make a teacher: its spec, its model, and the Python files beside its factory.

    Raises:
        SpecError, ModelError: one of them is not there, or the spec has mistakes.
    """
    file = spec_file(spec)
    return [file, *_files(read_spec(file).model, "teacher's model")]


def _files(model: ModelConfig, whose: str) -> list[Path]:
    found = []
    for role in _ROLES:
        path: Path | None = getattr(model, role)
        if path is not None and not path.is_file():
            raise files.missing(f"{role} ({whose})", path)
        if path is not None:
            found.append(path)
    if model.factory is not None:
        target = model.base / model.factory.partition(":")[0]
        found += sorted(target.parent.glob("*.py")) if target.is_file() else []
    return found
