"""The one object that the node tells what happens, and asks how it is."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgekit.core.errors import InputError
from edgekit.core.suggest import allowed
from edgekit.evaluation.input_statistics import InputStatistics, measure
from edgekit.ros2_node.health._arrivals import Rate, Refusals, Stamps
from edgekit.ros2_node.health._camera import Camera, look
from edgekit.ros2_node.health._drift import Drift
from edgekit.ros2_node.health._plausibility import Plausibility
from edgekit.ros2_node.health._timing import Deadline, Drops, ProcessingTime
from edgekit.ros2_node.health.hardware import Hardware, hardware_status
from edgekit.ros2_node.health.limits import Limits
from edgekit.ros2_node.health.statuses import Level, Processed, Status, values_of


@dataclass
class _PerCamera:
    """What is kept of one camera."""

    rate: Rate
    stamps: Stamps
    refusals: Refusals
    camera: Camera
    plausibility: Plausibility
    drift: Drift
    drift_due_s: float | None = None

    def begin(self, now_s: float) -> None:
        """The node listens from now on."""
        self.rate.begin(now_s)
        self.drift_due_s = None
        for part in (self.stamps, self.refusals, self.camera, self.plausibility, self.drift):
            part.begin()


class Monitor:
    """Told of every frame, result and fault, it gives the node's diagnostics.

    Its methods may be called from any thread, but :meth:`processed` of one camera from one at a time.
    Times are seconds of the node's clock (ROS time, so that a simulation's clock is followed).  A node that is not
    active is told apart from one that fails: see :meth:`active`.

    Args:
        limits: what is normal.
        cameras: their names, as they stand before the names of statuses; the only camera may be ``""``.
        reference: of input drift, from the bundle; None: the bundle holds none.
        hardware: started and closed by the caller; None: nothing is said of the machine.
        identity: what is said of the engine: bundle, digest, precision, provider and the like.

    Raises:
        InputError: no camera, or a name twice.
    """

    def __init__(
        self,
        limits: Limits,
        cameras: Sequence[str],
        reference: InputStatistics | None = None,
        hardware: Hardware | None = None,
        identity: Mapping[str, str] | None = None,
    ) -> None:
        if not cameras or len(set(cameras)) != len(cameras):
            raise InputError(f"diagnostics of cameras {list(cameras)}; expected at least one, and each once")
        self._limits = limits
        self._cameras = {
            name: _PerCamera(Rate(), Stamps(), Refusals(), Camera(), Plausibility(), Drift(reference))
            for name in cameras
        }
        self._times, self._deadline, self._drops = ProcessingTime(), Deadline(), Drops()
        self._hardware = hardware
        self._identity = dict(identity or {})
        self._fault = self._degraded = ""
        self._active = False
        self._lock = threading.Lock()

    @property
    def limits(self) -> Limits:
        """What is normal; setting it takes effect with the next frame."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        with self._lock:
            self._limits = limits

    def active(self, active: bool, now_s: float) -> None:
        """The node was activated or deactivated; it begins anew, and an inactive one waits for nothing."""
        with self._lock:
            self._active = active
            for each in self._cameras.values():
                each.begin(now_s)
                if not active:  # what cannot be heard may be told before the node is said to be active
                    each.refusals.accept()
            for part in (self._times, self._deadline, self._drops):
                part.begin()

    def received(self, camera: str, stamp_s: float, now_s: float) -> None:
        """A frame arrived, whether or not it will be refused or dropped."""
        with self._lock:
            each = self._of(camera)
            each.rate.tick(now_s)
            each.stamps.tick(stamp_s, now_s, self._limits)

    def refused(self, camera: str, reason: str, now_s: float) -> None:
        """A frame could not be read; ``reason`` is a sentence that names what was wrong with it."""
        with self._lock:
            self._of(camera).refusals.refuse(reason, now_s)

    def unheard(self, camera: str, reason: str, now_s: float) -> None:
        """A publisher of a camera cannot be heard: ``reason`` stays in the status until a frame is read."""
        with self._lock:
            self._of(camera).refusals.unheard(reason, now_s)

    def dropped(self, camera: str, reason: str, now_s: float) -> None:
        """A frame was not processed, because a newer one came."""
        with self._lock:
            self._of(camera)
            self._drops.drop(reason, now_s)

    def missed_deadline(self, camera: str, age_ms: float, now_s: float) -> None:
        """A frame missed its deadline: its result came too late, or was not made."""
        with self._lock:
            self._of(camera)
            self._deadline.miss(age_ms, now_s)

    def fault(self, cause: str) -> None:
        """The engine failed: its status is ERROR with ``cause``, until it is called with an empty one."""
        with self._lock:
            self._fault = cause

    def degraded(self, how: str) -> None:
        """The node does less than it was asked: at a lower rate, with a lighter bundle; empty: it does all again."""
        with self._lock:
            self._degraded = how

    def processed(self, result: Processed) -> None:
        """A frame went through the chain; what costs time happens outside the lock, in the caller's thread."""
        with self._lock:
            each, limits = self._of(result.camera), self._limits
            scale = each.camera.scale_of(result.image)
            takes = each.drift_due_s is None or not 0 < each.drift_due_s - result.now_s <= limits.drift_period_s
            if takes:
                each.drift_due_s = result.now_s + limits.drift_period_s
        seen = look(result.image, scale, limits.saturated_level)
        measured = measure(result.image, scale) if takes else None
        outputs = each.plausibility.look(result.outputs)
        with self._lock:
            each.refusals.accept()
            changed = each.camera.see(seen, result.now_s, limits)
            each.plausibility.see(result, outputs, changed, limits)
            if measured is not None:
                each.drift.see(measured, result.now_s)
            self._times.see(result, limits)
            self._deadline.met(result.now_s)
            self._drops.keep(result.now_s)

    def statuses(self, now_s: float) -> tuple[Status, ...]:
        """Every status now; asking more often changes nothing."""
        machine = None if self._hardware is None else self._hardware.machine()
        with self._lock:
            limits = self._limits
            found = [self._engine()]
            if machine is not None:
                found.append(hardware_status("hardware", machine, limits))
            if not self._active:
                return tuple(found)
            found += [
                self._times.status("processing time", now_s, limits),
                self._deadline.status("deadline", now_s, limits),
                self._drops.status("drops", now_s, limits),
                self._degradation(),
            ]
            for name, each in self._cameras.items():
                before = f"{name}: " if name else ""
                found += [
                    each.rate.status(f"{before}input rate", now_s, limits),
                    each.stamps.status(f"{before}stamp age", now_s, limits),
                    each.refusals.status(f"{before}refused frames", now_s, limits),
                    each.camera.status(f"{before}camera", now_s, limits),
                    each.plausibility.status(f"{before}output", limits),
                    each.drift.status(f"{before}input drift", now_s, limits),
                ]
            return tuple(found)

    def _of(self, camera: str) -> _PerCamera:
        if camera not in self._cameras:
            raise InputError(f"no camera named {camera!r}; {allowed(camera, tuple(self._cameras))}")
        return self._cameras[camera]

    def _engine(self) -> Status:
        values = values_of(self._identity.items())
        hardware_id = self._identity.get("bundle", "")
        if self._fault:
            return Status("engine", Level.ERROR, self._fault, values, hardware_id)
        message = "The engine runs." if self._active else "The node is not active."
        return Status("engine", Level.OK, message, values, hardware_id)

    def _degradation(self) -> Status:
        if self._degraded:
            return Status("degradation", Level.WARN, self._degraded)
        return Status("degradation", Level.OK, "The node does all it was asked.")
