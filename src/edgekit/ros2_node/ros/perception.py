"""A bundle at work: frames of the topics to the inference thread, and what it says to the topics and the monitor."""

from __future__ import annotations

from functools import partial
from threading import Lock
from typing import Any

import numpy as np
from rclpy.node import Node

from edgekit.core.errors import DataError, SpecError
from edgekit.core.tensors import Array
from edgekit.ros2_node.degrade import Degradation
from edgekit.ros2_node.frame import Frame, Query, Result
from edgekit.ros2_node.health import Monitor, Processed
from edgekit.ros2_node.heartbeat import Heartbeat
from edgekit.ros2_node.inbox import Inbox
from edgekit.ros2_node.loading import Loaded
from edgekit.ros2_node.metrics import Metrics
from edgekit.ros2_node.parameters import Settings
from edgekit.ros2_node.rectify import Rectifier
from edgekit.ros2_node.ros.messages import camera_model, frame_of, now_s
from edgekit.ros2_node.ros.topics import Inputs, Outputs
from edgekit.ros2_node.sync import Synchronizer
from edgekit.ros2_node.worker import Schedule, Worker
from edgekit.tasks import Task
from edgekit.tasks.multitask import MultiTask

STOP_S = 1.0
"""How long is waited for an inference that runs."""


class Perception:
    """Runs a loaded bundle on a node's topics between :meth:`start` and :meth:`stop`.

    Args:
        node: topics and clock are its.
        settings: its parameters; may be exchanged while it runs, what is read once stays.
        main: the bundle.
        light: the bundle that runs while the other one does not keep up; None: there is none.
        monitor: is told of every frame.
        metrics: counts them; None: nobody asks.
        heartbeat: is told of every inference.

    Raises:
        SpecError: the cameras are not those that the bundle takes.
    """

    def __init__(
        self,
        node: Node,
        settings: Settings,
        main: Loaded,
        light: Loaded | None,
        monitor: Monitor,
        metrics: Metrics | None,
        heartbeat: Heartbeat,
    ) -> None:
        self._node, self.settings, self._monitor, self._heartbeat = node, settings, monitor, heartbeat
        self._metrics = metrics
        self._main, self._light, self._chain = main, light, main.chain
        self._sources = _sources(settings, main)
        self._joined = len(main.sources) > 1
        self._leaders = settings.cameras[:1] if self._joined else settings.cameras
        self._rectifiers: dict[str, Rectifier | DataError] = {}
        self._due_s: dict[str, float] = {}
        self._degradation = Degradation(light is not None, settings.degrade_after_s, settings.recover_after_s)
        self._degrading = Lock()  # frames are dropped on the executor's thread, answered on the inference thread
        overlay = partial(_overlay, main.chain.task) if settings.overlay else None
        self._outputs = Outputs(node, self._leaders, class_names(main.chain.task), overlay, self._mismatch)
        if main.smoke.example is not None:
            self._outputs.prepare(main.smoke.example)
        self._outputs.describe(main.bundle.contents.task.kind, main.bundle.identity, settings.score_threshold)
        self._inputs: Inputs | None = None
        self._worker: Worker | None = None
        self.failure = ""
        """Why the inference thread ended by itself; empty: it did not."""

    def start(self) -> None:
        """Subscribe, and answer frames from now on."""
        settings, main = self.settings, self._main
        self._inbox = Inbox(self._leaders)
        self._sync = Synchronizer(settings.cameras, settings.sync_slop_ms / 1e3)
        schedule = Schedule(
            1.0 / settings.rate_hz,
            settings.hang_periods,
            main.smoke.query_s,
            lambda: self.settings.deadline_ms / 1e3 if self.settings.drop_late else 0.0,
            settings.scheduler_fifo,
            settings.processors(),
        )
        self._worker = Worker(lambda: self._chain, self._inbox, self, schedule, self._heartbeat, self._now_s)
        self._worker.start()
        for refused in self._worker.refused_by_system:
            self._node.get_logger().warning(refused)
        compressed = settings.image_transport == "compressed"
        self._inputs = Inputs(
            self._node, settings.cameras, compressed, settings.rectify, self._image, self._camera_info, self._mismatch
        )

    def stop(self) -> bool:
        """Unsubscribe and end the inference thread; False: it hangs, and keeps the engine."""
        if self._inputs is not None:
            self._inputs.close()
            self._inputs = None
        return self._worker is None or self._worker.stop(STOP_S)

    def close(self) -> None:
        """Stop publishing."""
        self._outputs.close()

    def look(self) -> None:
        """Decide which bundle runs; asked now and then."""
        with self._degrading:
            self._degradation.degrade_after_s = self.settings.degrade_after_s
            self._degradation.recover_after_s = self.settings.recover_after_s
            mode = self._degradation.mode(self._now_s())
        wanted = self._light if mode.light and self._light is not None else self._main
        if wanted.chain is not self._chain:
            self._node.get_logger().warning(
                f"{wanted.bundle.identity} runs from now on: {mode.said or 'load is normal'}"
            )
        self._chain = wanted.chain  # the inference thread asks for it before each query
        self._monitor.degraded(mode.said)

    # On the executor's thread.

    def _image(self, message: Any, camera: str) -> None:
        now_s = self._now_s()
        frame = frame_of(message, camera, now_s)
        self._monitor.received(camera, frame.stamp_s, now_s)
        self._count(camera, "received")
        if self.settings.max_rate_hz:
            due_s = self._due_s.get(camera, now_s)
            if due_s - 1.0 < now_s < due_s:  # a clock that jumped back makes nobody wait
                return
            self._due_s[camera] = max(due_s, now_s - 1.0) + 1.0 / self.settings.max_rate_hz
        if self.settings.rectify:
            frame = Frame(camera, partial(self._rectified, frame), frame.stamp_s, now_s, frame.header)
        if self._joined:
            query, lost = self._sync.add(frame)
            for one in lost:
                self._dropped(one, "no frame of the other cameras was taken at the same time", now_s)
        else:
            query = Query(dict.fromkeys(self._sources.values(), frame))
        replaced = self._inbox.put(query) if query is not None else None
        if replaced is not None:
            self._dropped(replaced, "a newer frame came before its inference", now_s)

    def _dropped(self, frame: Frame, reason: str, now_s: float) -> None:
        self._monitor.dropped(frame.camera, reason, now_s)
        self._count(frame.camera, "dropped")
        with self._degrading:
            self._degradation.frame(now_s, dropped=True)

    def _camera_info(self, message: Any, camera: str) -> None:
        model, held = camera_model(message), self._rectifiers.get(camera)
        if isinstance(held, Rectifier) and held.camera == model:
            return
        try:
            self._rectifiers[camera] = Rectifier(model)
        except DataError as error:
            self._rectifiers[camera] = error

    def _mismatch(self, where: str, policy: str) -> None:
        sentence = (
            f"the other side's quality of service does not fit in {policy}; set it there, or here with the parameter "
            f"qos_overrides.<topic>.<subscription or publisher>.{policy}"
        )
        self._node.get_logger().error(f"{where or 'input'}: {sentence}")
        if where in self.settings.cameras:
            self._monitor.unheard(where, sentence, self._now_s())
        else:
            self._monitor.refused(self.settings.cameras[0], sentence, self._now_s())

    # On the inference thread.

    def result(self, result: Result) -> None:
        """Publish it first; then the monitor looks at it."""
        settings, leader = self.settings, result.query.leader
        if result.prediction is not None:
            self._outputs.publish(result, settings.score_threshold)
        now_s = self._now_s()
        ms = [1e3 * one for one in (result.pre_s, result.infer_s, result.post_s, result.age_at_start_s, result.age_s)]
        seen = Processed(leader.camera, leader.stamp_s, now_s, result.image, result.outputs, result.prediction, *ms)
        self._monitor.processed(seen)
        if self._metrics is not None:
            self._metrics.processed(seen)
        if 0 < settings.deadline_ms < ms[-1]:
            self._monitor.missed_deadline(leader.camera, ms[-1], now_s)
            self._count(leader.camera, "late")
        with self._degrading:
            self._degradation.frame(now_s, dropped=False)

    def refused(self, query: Query, reason: str) -> None:
        """A frame could not be read."""
        self._monitor.refused(query.leader.camera, reason, self._now_s())
        self._count(query.leader.camera, "refused")

    def late(self, query: Query, age_s: float) -> None:
        """A frame was past its deadline before its inference."""
        now_s = self._now_s()
        self._monitor.missed_deadline(query.leader.camera, age_s * 1e3, now_s)
        self._dropped(query.leader, "it was past the deadline before its inference", now_s)

    def failed(self, reason: str) -> None:
        """The engine failed; the node looks after it."""
        self.failure = f"the engine failed: {reason}"

    def _count(self, camera: str, outcome: str) -> None:
        if self._metrics is not None:
            self._metrics.count(camera, outcome)

    def _rectified(self, frame: Frame) -> Array:
        found = self._rectifiers.get(frame.camera)
        if found is None:
            raise DataError("no camera_info came yet, and rectify is set; publish it, or set rectify to false")
        if isinstance(found, DataError):
            raise DataError(str(found))
        return found(frame.read())

    def _now_s(self) -> float:
        return now_s(self._node)


def _sources(settings: Settings, bundle: Loaded) -> dict[str, str]:
    """Camera to the source that the bundle's preprocessing calls its frames; one source takes any camera's."""
    if len(bundle.sources) == 1:
        return dict.fromkeys(settings.cameras, bundle.sources[0])
    if set(settings.cameras) != set(bundle.sources):
        raise SpecError(
            f"parameter cameras: {list(settings.cameras)}; {bundle.bundle.name} takes several images in one query: "
            f"name the cameras {list(bundle.sources)}"
        )
    return {name: name for name in settings.cameras}


def class_names(task: Task) -> dict[str, tuple[str, ...]]:
    """Names of class ids by the part of the topic that stands before the kind; tasks without classes have none."""
    if isinstance(task, MultiTask):
        parts = {f"{name}/": part.class_names for name, part in task.tasks.items()}
        return {name: classes for name, classes in parts.items() if classes}
    return {"": task.class_names} if task.class_names else {}


def _overlay(task: Task, result: Result) -> Array:
    """The frame with the result over it, uint8 RGB."""
    image = result.image if result.image.dtype == np.uint8 else (result.image >> 8).astype(np.uint8)
    return image if result.prediction is None else task.paint(image, result.prediction)
