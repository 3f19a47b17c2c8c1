"""Quantization, one technique a file or folder; what a technique is: :mod:`edgekit.technique`."""

from __future__ import annotations

from edgekit.technique import Bench as Bench
from edgekit.technique import Examples as Examples
from edgekit.technique import Frames as Frames
from edgekit.technique import Job as Job
from edgekit.technique import Quantized as Quantized
from edgekit.technique import TechniqueConfig as TechniqueConfig
