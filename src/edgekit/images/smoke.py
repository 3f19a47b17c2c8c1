"""``python -m edgekit.images.smoke BUNDLE``: whether this image computes here, as a health check asks it.

The bundle is opened as the node opens it, and its golden frames go through the whole chain.  Exit codes: 0 they give
the golden predictions; 1 they do not; 2 there is no sound bundle; 3 its runtime is not here.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from edgekit.core.errors import BundleError, EdgekitError


def main(argv: Sequence[str]) -> int:
    """See the module."""
    from edgekit.ros2_node.loading import loaded

    path = Path(argv[0] if argv else "/bundle")
    try:
        if path.is_dir() and not any(path.iterdir()):
            raise BundleError(f"{path} is empty; mount a bundle there, or build the image with --bundle")
        with loaded(path) as bundle:
            smoke = bundle.smoke
    except EdgekitError as error:
        print(f"unhealthy: {error}")
        return error.exit_code
    print(f"healthy: {smoke.frames} golden frames, {smoke.worst:.2%} {smoke.measure}, {smoke.query_s * 1e3:.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
