"""The managed node: a bundle from its parameters, frames from its topics, results and diagnostics out."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter as RosParameter

from edgekit.core.errors import EdgekitError, SpecError
from edgekit.ros2_node.health import Hardware, Limits, Monitor, Status
from edgekit.ros2_node.heartbeat import Heartbeat, State
from edgekit.ros2_node.loading import loaded
from edgekit.ros2_node.metrics import Metrics
from edgekit.ros2_node.parameters import Parameter, Settings, declarations
from edgekit.ros2_node.ros import watchdog
from edgekit.ros2_node.ros.diagnostics import Diagnostics
from edgekit.ros2_node.ros.messages import now_s
from edgekit.ros2_node.ros.perception import Perception

LOOK_S = 0.1
"""How often the node looks after itself: levels, a failed engine, an overload, the start by itself.

One timer for all: whatever wakes rclpy's executor makes it ask every entity of the node, twice.
"""
RETRY_S = 5.0
"""A node that starts by itself tries again so long after a failure."""
SUCCESS, ERROR = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.ERROR


class PerceptionNode(LifecycleNode):  # type: ignore[misc]  # rclpy has no types
    """A lifecycle node that runs one bundle.

    configure opens, checks and tries the bundle; activate subscribes and runs it; deactivate and cleanup release what
    they took.  What goes wrong is an ERROR of the status "engine" with its cause, and the node is unconfigured again.
    """

    def __init__(self, name: str = "edgekit", **options: Any) -> None:
        super().__init__(name, **options)
        self._settings, self._limits = Settings(), Limits()
        self._settings = _declared(self, self._settings)
        self._limits = _declared(self, self._limits)
        self.add_on_set_parameters_callback(self._on_parameters)
        self._configured = self._active = False
        self._held = ExitStack()
        self._perception: Perception | None = None
        self._hardware = Hardware()
        self._hardware.start()
        self._monitor = self._plain_monitor("")
        self._heartbeat = Heartbeat()
        self.watchdog = watchdog.start(self.full_name, self._heartbeat, self._settings.hang_exit_s)
        self._diagnostics = Diagnostics(self, self.label, self.statuses, self._settings.diagnostics_period_s)
        self._retry_s = 0.0
        page = (self._settings.metrics_address, self._settings.metrics_port)
        self._metrics = Metrics(*page, self.statuses) if page[1] else None
        # A simulation that stands still is no reason to be silent.
        self.create_timer(LOOK_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    @property
    def full_name(self) -> str:
        """With its namespace."""
        return f"{self.get_namespace().rstrip('/')}/{self.get_name()}"

    @property
    def label(self) -> str:
        """What stands before the names of its statuses."""
        return self.full_name.lstrip("/")

    def now_s(self) -> float:
        """Seconds of the node's clock, which follows /clock when ``use_sim_time`` is set."""
        return now_s(self)

    def statuses(self) -> tuple[Status, ...]:
        """Of everything that the node watches."""
        return self._monitor.statuses(self.now_s())

    def close(self) -> None:
        """Release everything; for the end of the process."""
        self._release()
        self._hardware.close()
        if self._metrics is not None:
            self._metrics.close()
        self._heartbeat.state = State.ENDED
        self.watchdog.close()
        self._heartbeat.close()

    # The transitions; rclpy takes any exception for an ERROR without saying which.

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open, check and try the bundle; nothing runs yet."""
        try:
            self._configure()
        except EdgekitError as error:
            return self._failed(f"configure: {error}")
        self._configured = True
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and run."""
        assert self._perception is not None  # only a configured node is activated
        self._perception.start()
        self._active = True
        self._heartbeat.state = State.ACTIVE
        self._monitor.active(True, self.now_s())
        return SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unsubscribe, and wait for the inference that runs."""
        perception, cause = self._perception, ""
        if perception is not None:
            cause = perception.failure
            if not perception.stop():
                return self._failed("the inference hangs and cannot be ended; the watchdog ends the process")
        self._quiet()
        return self._failed(cause) if cause else SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release the bundle and its engine."""
        self._release()
        self._monitor = self._plain_monitor("")
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything."""
        self._release()
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything; the cause stays in the status "engine" until the node is configured."""
        self._release()
        return SUCCESS

    def _failed(self, cause: str) -> TransitionCallbackReturn:
        self.get_logger().error(cause)
        self._monitor = self._plain_monitor(cause)
        self._retry_s = time.monotonic() + RETRY_S
        return ERROR

    def _configure(self) -> None:
        settings = self._settings
        if not settings.bundle:
            raise SpecError("parameter bundle is empty; name a bundle that edgekit build wrote")
        key = Path(settings.public_key) if settings.public_key else None
        with ExitStack() as opened:
            main = opened.enter_context(loaded(Path(settings.bundle), key, settings.native))
            light = None
            if settings.lighter_bundle:
                light = opened.enter_context(loaded(Path(settings.lighter_bundle), key, settings.native))
            self._monitor = Monitor(
                self._limits, settings.cameras, main.bundle.input_statistics, self._hardware, main.identity
            )
            self._perception = Perception(self, settings, main, light, self._monitor, self._metrics, self._heartbeat)
            opened.callback(self._perception.close)
            self._held = opened.pop_all()
        self.get_logger().info(f"configured with {main.bundle.identity} in {main.runs}: {main.smoke}")

    def _release(self) -> None:
        """What a configured or active node holds; what hangs in its engine stays with it."""
        if self._perception is None or self._perception.stop():
            self._quiet()
            self._held.close()
        self._perception, self._configured = None, False

    def _quiet(self) -> None:
        if self._active:
            self._monitor.active(False, self.now_s())
        self._active, self._heartbeat.state = False, State.IDLE

    def _look(self) -> None:
        self._supervise()
        self._diagnostics.look()

    def _supervise(self) -> None:
        """On the executor: what cannot be done on the thread that it is about."""
        if self._active and self._perception is not None:
            if self._perception.failure:
                self.trigger_deactivate()
            else:
                self._perception.look()
        elif self._settings.autostart and not self._configured and time.monotonic() >= self._retry_s:
            if self.trigger_configure() == SUCCESS:
                self.trigger_activate()
            else:
                self._retry_s = time.monotonic() + RETRY_S

    def _on_parameters(self, parameters: list[RosParameter]) -> SetParametersResult:
        """Take new values, all or none."""
        given = {one.name: one.value for one in parameters}
        try:
            settings, limits = self._changed(self._settings, given), self._changed(self._limits, given)
        except SpecError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._settings, self._limits = settings, limits
        self._monitor.limits = limits
        if self._perception is not None:
            self._perception.settings = settings
        return SetParametersResult(successful=True)

    def _changed(self, held: Any, given: dict[str, Any]) -> Any:
        known = {one.name: one for one in declarations(type(held))}
        values = {name: value for name, value in given.items() if name in known}
        fixed = [name for name in values if known[name].when == "configure"]
        if fixed and self._configured:
            raise SpecError(
                f"parameter {fixed[0]} is read when the node is configured; deactivate and clean it up first"
            )
        return replace(held, **values)

    def _plain_monitor(self, cause: str) -> Monitor:
        """The monitor of a node without a bundle."""
        monitor = Monitor(self._limits, self._settings.cameras, None, self._hardware)
        monitor.fault(cause)
        return monitor


def _declared(node: LifecycleNode, defaults: Any) -> Any:
    """Declare the parameters of a dataclass, and give it with the values that the node was started with.

    Raises:
        SpecError: one of these is out of range.
    """
    for one in declarations(type(defaults)):
        value = list(one.default) if isinstance(one.default, tuple) else one.default
        node.declare_parameter(one.name, value, _descriptor(one))
    values = {one.name: node.get_parameter(one.name).value for one in declarations(type(defaults))}
    return type(defaults)(**values)


def _descriptor(one: Parameter) -> ParameterDescriptor:
    unit = f" [{one.unit}]" if one.unit else ""
    found = ParameterDescriptor(name=one.name, description=f"{one.description}{unit}", read_only=one.when == "start")
    found.additional_constraints = one.limits
    low, high = one.low, one.high
    if one.kind == "integer" and low is not None and high is not None:
        found.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=0)]
    if one.kind == "double" and low is not None and high is not None:
        found.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high), step=0.0)]
    return found
