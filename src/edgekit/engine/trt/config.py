"""What a target of TensorRT can be told in the spec."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from edgekit import devices
from edgekit.engine import RemoteConfig

Shape = tuple[Annotated[int, Field(ge=1)], ...]


class ShapeRange(BaseModel):
    """Smallest, usual and largest shape of one input; the kernels are tuned for ``opt``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min: Shape
    opt: Shape
    max: Shape

    @model_validator(mode="after")
    def _ordered(self) -> ShapeRange:
        if not len(self.min) == len(self.opt) == len(self.max):
            raise ValueError(f"min, opt and max need the same rank; found {self.min}, {self.opt}, {self.max}")
        if any(not low <= usual <= high for low, usual, high in zip(self.min, self.opt, self.max, strict=True)):
            raise ValueError(f"expected min <= opt <= max in every axis; found {self.min}, {self.opt}, {self.max}")
        return self


class Config(RemoteConfig):
    """A TensorRT target."""

    engine: Literal["trt"]
    precision: Literal["int8", "fp16", "bf16", "fp32", "fp8", "fp4"] | None = Field(
        None, description="default: what the compress steps lead to, else fp32"
    )
    device: str | None = Field(None, description="a file of devices/; default: the GPU of this machine")
    compute_capability: str | None = Field(
        None, pattern=r"^\d{1,2}\.\d$", description="such as 8.9; default: that of the device"
    )
    profiles: tuple[dict[str, ShapeRange], ...] = Field(
        (), description="optimization profiles of a model with dynamic sizes; default: one, every dynamic size 1"
    )
    workspace_mib: int | None = Field(None, ge=1, description="scratch memory of a layer; default: what the device has")
    optimization_level: int | None = Field(None, ge=0, le=5, description="effort of the builder; default: TensorRT's")
    version_compatible: bool = Field(False, description="runs on later TensorRT versions of the same major version")
    hardware_compatible: bool = Field(False, description="runs on every GPU from compute capability 8.0 on")
    weight_stripped: bool = Field(False, description="the engine holds no weights; they are put in from the ONNX file")
    max_aux_streams: int | None = Field(None, ge=0, description="streams beside the main one; default: TensorRT's")
    sparse_weights: bool = Field(False, description="use 2:4 sparse kernels where the weights are")
    dla_core: int | None = Field(None, ge=0, description="run on this deep-learning accelerator; default: the GPU")
    gpu_fallback: bool = Field(True, description="layers that the DLA cannot run go to the GPU")
    detailed_profiling: bool = Field(True, description="keep what the engine inspector needs to name precisions")
    cuda_graph: bool = Field(True, description="replay the launches as one CUDA graph when all shapes are fixed")
    memory: Literal["cuda-python", "pycuda"] = Field("cuda-python", description="library for device memory")

    @field_validator("device")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None:
            devices.get(value)
        return value

    @model_validator(mode="after")
    def _possible(self) -> Config:
        if self.device is not None:
            reason = devices.get(self.device).objection(
                self.precision, self.dla_core, self.compute_capability, self.workspace_mib
            )
            if reason:
                raise ValueError(reason)
        if self.dla_core is not None and self.profiles:
            raise ValueError("dla_core: the DLA runs fixed shapes only; remove profiles")
        if self.weight_stripped and self.dla_core is not None:
            raise ValueError("weight_stripped: the DLA's loadables hold their weights; remove one of the two")
        if self.weight_stripped and self.host is not None:
            raise ValueError("weight_stripped: the weights stay here, but a host runs the engine; remove one")
        if self.memory == "pycuda" and self.cuda_graph:
            raise ValueError("memory: pycuda cannot capture CUDA graphs; set cuda_graph: false, or memory: cuda-python")
        return self

    @property
    def wanted_capability(self) -> str | None:
        """The compute capability to build for, such as ``8.7``; None: that of the GPU of this machine."""
        if self.compute_capability is not None or self.device is None:
            return self.compute_capability
        return devices.get(self.device).compute_capability
