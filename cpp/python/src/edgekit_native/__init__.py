"""edgekit's C++ runtime in Python: bundles, pipelines and engines, with edgekit's own types and errors.

    from edgekit_native import Bundle

    pipeline = Bundle.open("artifacts/camvid-seg-cpu").pipeline()
    prediction = pipeline.process(image)            # uint8 (H, W, 3), RGB
    prediction = pipeline.process(frame, "nv12")    # as cameras give it

The GIL is released while something is computed.
"""

from __future__ import annotations

from edgekit_native import _library

_library.load()

from edgekit_native._native import Bundle as Bundle  # noqa: E402
from edgekit_native._native import Decoder as Decoder  # noqa: E402
from edgekit_native._native import Engine as Engine  # noqa: E402
from edgekit_native._native import Pipeline as Pipeline  # noqa: E402
from edgekit_native._native import Preprocess as Preprocess  # noqa: E402
from edgekit_native._native import backends as backends  # noqa: E402
from edgekit_native._native import operators as operators  # noqa: E402
