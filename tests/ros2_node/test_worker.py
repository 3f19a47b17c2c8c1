"""The inference thread, with an engine that does what it is told and a clock that stands."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np
import pytest
from onnx import save_model
from onnx.parser import parse_model

from edgekit.core.errors import DataError, ModelError
from edgekit.core.tensors import TensorSpec
from edgekit.engine import Chain, Engine, backend, target_of
from edgekit.inputs.image import Config as Image
from edgekit.preprocess import Preprocess
from edgekit.ros2_node.frame import Frame, Query
from edgekit.ros2_node.heartbeat import Heartbeat, State
from edgekit.ros2_node.inbox import Inbox
from edgekit.ros2_node.worker import Schedule, Worker
from edgekit.tasks.classification import Config as Classification
from edgekit.tasks.outputs import Config as Outputs
from tests.support.waiting import until

SPEC = TensorSpec("image", (1, 3, 4, 4))


class Told(Engine):
    """``behave`` is called with the feeds in each query and gives the outputs."""

    inputs, outputs = (SPEC,), (TensorSpec("logits", (1, 2)),)

    def __init__(self, behave):
        self._behave = behave

    def activate(self):
        pass

    def deactivate(self):
        pass

    def describe(self):
        return {}

    def infer_impl(self, feeds):
        return {"logits": self._behave(feeds)}


@dataclass
class Heard:
    results: list = field(default_factory=list)
    refusals: list = field(default_factory=list)
    lates: list = field(default_factory=list)
    failures: list = field(default_factory=list)

    def result(self, result):
        self.results.append(result)

    def refused(self, query, reason):
        self.refusals.append(reason)

    def late(self, query, age_s):
        self.lates.append(age_s)

    def failed(self, reason):
        self.failures.append(reason)


def query(read=lambda: np.zeros((4, 4, 3), np.uint8), stamp_s=100.0, camera="") -> Query:
    return Query({"image": Frame(camera, read, stamp_s, stamp_s)})


@pytest.fixture
def make():
    made = []

    def start(behave, schedule=None, now=lambda: 100.25):
        task = Classification(kind="classification", output="logits", classes=("car", "van")).create()
        engine = Told(behave).open()
        chain = Chain(Preprocess({"image": Image(resize=(4, 4))}), engine, task)
        heard, inbox, heartbeat = Heard(), Inbox([""]), Heartbeat()
        worker = Worker(lambda: chain, inbox, heard, schedule or Schedule(1 / 30), heartbeat, now)
        worker.start()
        made.append((worker, heartbeat))
        return worker, inbox, heard, heartbeat

    yield start
    for worker, heartbeat in made:
        assert worker.stop(120)
        heartbeat.close()


def logits(*values):
    return lambda feeds: np.array([values], np.float32)


def test_a_frame_becomes_a_result_with_its_ages(make):
    _, inbox, heard, heartbeat = make(logits(0.0, 3.0))
    inbox.put(query())
    until(lambda: heard.results)
    (result,) = heard.results
    assert result.prediction.probabilities.argmax() == 1
    assert (result.age_at_start_s, result.age_s) == (0.25, 0.25)
    assert result.total_s == result.pre_s + result.infer_s + result.post_s
    until(lambda: heartbeat.count == 1)


def test_a_bad_frame_is_refused_and_the_next_one_works(make):
    def unreadable():
        raise DataError("the data are truncated")

    _, inbox, heard, _ = make(logits(0.0, 3.0))
    inbox.put(query(unreadable))
    until(lambda: heard.refusals)
    inbox.put(query(lambda: np.zeros((4, 4, 3), np.uint16)))
    until(lambda: len(heard.refusals) == 2)
    inbox.put(query())
    until(lambda: heard.results)
    assert heard.refusals[0] == "the data are truncated"
    assert "uint16" in heard.refusals[1]
    assert not heard.failures


def test_outputs_that_are_no_numbers_are_not_decoded(make):
    _, inbox, heard, _ = make(logits(0.0, float("nan")))
    inbox.put(query())
    until(lambda: heard.results)
    assert heard.results[0].prediction is None


def test_an_engine_that_fails_ends_the_thread_with_its_reason(make):
    def fail(feeds):
        raise ModelError("the device is gone")

    worker, inbox, heard, heartbeat = make(fail)
    inbox.put(query())
    until(lambda: heard.failures)
    assert heard.failures == ["the device is gone"]
    assert worker.stop(120)
    assert heartbeat.running_s == 0


def test_late_frames_are_dropped_when_asked(make):
    _, inbox, heard, _ = make(logits(0.0, 3.0), Schedule(1 / 30, drop_after_s=lambda: 0.2))
    inbox.put(query(stamp_s=100.0))
    until(lambda: heard.lates)
    assert heard.lates == [0.25]
    inbox.put(query(stamp_s=100.1))
    until(lambda: heard.results)


def test_a_hung_inference_is_seen_and_stop_says_so(make):
    let_go = threading.Event()

    def hang(feeds):
        let_go.wait()
        return np.zeros((1, 2), np.float32)

    worker, inbox, _, heartbeat = make(hang, Schedule(0.01, hang_periods=2))

    heartbeat.state = State.ACTIVE
    inbox.put(query())
    until(lambda: heartbeat.hung)
    assert heartbeat.limit_s == pytest.approx(0.02)
    assert not worker.stop(0.01)
    let_go.set()


def test_slow_inferences_have_a_longer_limit(make):
    _, inbox, heard, heartbeat = make(logits(0.0, 3.0), Schedule(0.001, hang_periods=3, first_s=5.0))
    inbox.put(query())
    until(lambda: heard.results)
    assert heartbeat.limit_s == pytest.approx(15.0)


def test_denormals_are_flushed_on_the_inference_thread(tmp_path):
    """A network whose product is a denormal number, in a real session that another thread opened."""
    model = parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        product (float[1, 3, 4, 4] image) => (float[1, 3, 4, 4] logits) { logits = Mul(image, image) }"""
    )
    save_model(model, tmp_path / "product.onnx")
    made = backend(target_of({"engine": "ort"}))
    made.build(tmp_path / "product.onnx", tmp_path / "product.ort.onnx")
    task = Outputs(kind="outputs", output="logits").create()
    heard, inbox, heartbeat = Heard(), Inbox([""]), Heartbeat()
    with made.engine(tmp_path / "product.ort.onnx") as engine:
        chain = Chain(Preprocess({"image": Image(resize=(4, 4), scale=1e-22)}), engine, task)
        worker = Worker(lambda: chain, inbox, heard, Schedule(1 / 30), heartbeat, lambda: 100.0)
        worker.start()
        inbox.put(query(lambda: np.full((4, 4, 3), 100, np.uint8)))
        until(lambda: heard.results or heard.failures)
        assert worker.stop(120)
    heartbeat.close()
    assert np.float32(1e-20) * np.float32(1e-20) > 0
    assert not heard.results[0].outputs["logits"].any()


def test_what_the_system_does_not_allow_is_said(make):
    worker, _, _, _ = make(logits(0.0, 3.0), Schedule(1 / 30, processors=(4095,)))
    (refused,) = worker.refused_by_system
    assert "cpu_affinity" in refused
    assert "this process may use" in refused
