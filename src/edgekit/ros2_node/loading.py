"""A bundle made ready to run: checked, opened, and held against its own golden frames before the first real one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.bundle import Bundle, open_bundle
from edgekit.bundle.frames import read_frame
from edgekit.bundle.signing import check
from edgekit.core.decoded import OtherRecord, geometry_of, restored
from edgekit.core.errors import CheckFailed
from edgekit.engine import Chain
from edgekit.ros2_node.native import opened
from edgekit.verification.limits import limits_of


@dataclass(frozen=True)
class Smoke:
    """The golden frames through the whole chain on this machine.

    ``frames`` were compared, of which the worst departs by ``worst`` of ``limit`` (``measure`` says what of);
    ``query_s`` is the longest time that one took, in seconds; ``example`` is a prediction, None of a bundle
    of version 1.
    """

    frames: int
    worst: float
    limit: float
    measure: str
    query_s: float
    example: Any = field(repr=False)


@dataclass(frozen=True)
class Loaded:
    """A bundle whose engine is open; ``runs`` says which code its frames go through."""

    bundle: Bundle
    chain: Chain
    smoke: Smoke
    runs: str = "Python"

    @property
    def identity(self) -> dict[str, str]:
        """What diagnostics say of the engine."""
        facts = {name: str(value) for name, value in self.chain.engine.describe().items()}
        candidate = self.bundle.contents.candidate
        said = {"bundle": self.bundle.identity, "digest": self.bundle.digest, "precision": candidate.precision}
        return said | facts | {"runs": self.runs}

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the images that one query takes, in the order of the model's inputs."""
        named = (one.source for one in self.bundle.contents.preprocess.values() if hasattr(one, "source"))
        flat = [name for source in named for name in ([source] if isinstance(source, str) else source)]
        return tuple(dict.fromkeys(flat))


@contextmanager
def loaded(path: Path, public_key: Path | None = None, native: str = "off") -> Iterator[Loaded]:
    """The bundle, checked and opened; released at the end.

    Nothing is deserialised before manifest, hashes, device and, with ``public_key``, the signature are checked.
    ``native`` as in :func:`edgekit.ros2_node.native.opened`; the golden frames go through what runs later.

    Raises:
        BundleError: it is damaged, unsigned, or for another machine.
        CheckFailed: its golden frames do not give its golden predictions here.
        MissingRequirement: its runtime is not here.
        EnvironmentFault: ``native`` is ``on``, and the C++ runtime has not what the bundle asks for.
    """
    with open_bundle(path) as bundle:
        if public_key is not None:
            check(bundle, public_key)
        with opened(bundle, native) as found:
            yield Loaded(bundle, found.chain, smoke_test(bundle, found.chain), found.runs)


def smoke_test(bundle: Bundle, chain: Chain) -> Smoke:
    """Every golden frame twice: the first query of an engine is slower than all others.

    Raises:
        CheckFailed: a prediction departs from the golden one by more than the bundle's own limit.
    """
    document, golden = bundle.predictions(), bundle.golden()
    limit = limits_of(bundle.contents.candidate.precision, bundle.contents.parity).disagreement
    frames, worst, slowest, found = 0, 0.0, 0.0, None
    for number in range(golden.frames):
        outputs = chain.engine.infer(golden.feeds(number))
        record = None if document is None else document.frames[number]
        if record is None:  # a bundle of version 1 keeps no frame, nor how it went into the tensor
            continue
        if record.sources is not None:
            passed = chain.timed(read_frame(bundle.path, record.sources))
            slowest = max(slowest, passed.total_s)
            found = passed.prediction
        else:  # no raw frame is kept: people, licences
            found = chain.decode(outputs, geometry_of(record.geometry))
        if isinstance(record.prediction, OtherRecord):
            continue
        departs = chain.task.disagreement(restored(record.prediction, found), found)
        if departs > limit >= 0:
            raise CheckFailed(
                f"{bundle.name}: golden frame {number}: {departs:.1%} {chain.task.disagreement_of} from the golden "
                f"prediction, limit {limit:.1%}; ask why with: edgekit verify {bundle.given}"
            )
        frames, worst = frames + 1, max(worst, departs)
    return Smoke(frames, worst, limit, chain.task.disagreement_of, slowest, found)
