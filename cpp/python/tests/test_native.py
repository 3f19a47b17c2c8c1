"""edgekit-native against edgekit's own Python: the same bundles, frames, errors and numbers."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("edgekit_native", reason="edgekit-native is not installed: make cpp-python builds and tests it")

from tests.support.rounded import STEMS

import edgekit_native
from edgekit import bundle as bundles
from edgekit import engine as engines
from edgekit.core.artifacts import sha256_file, sha256_of, write_json
from edgekit.core.errors import BundleError, DataError, InputError, MissingRequirement, TensorError
from edgekit.engine import Chain, ort

CASES = Path(os.environ.get("EDGEKIT_CASES", Path(__file__).parents[3] / "build" / "cpp" / "cases"))
TASKS = ("segmentation", "int8", "detection", "classification", "embedding", "regression", "outputs", "multitask")


def image(seed: int = 0, height: int = 101, width: int = 157) -> np.ndarray:
    """A smooth coloured picture: a label of a noisy one hangs on the last bit."""
    import cv2

    small = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    return np.ascontiguousarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))


@pytest.fixture(params=TASKS)
def path(request: pytest.FixtureRequest) -> Path:
    return bundle_of(request.param)


def bundle_of(task: str) -> Path:
    path = CASES / "golden" / task
    if not path.is_dir():
        pytest.skip(f"{path} is not there: make cpp-cases writes it")
    return path


@pytest.fixture
def chain(path: Path) -> Iterator[Chain]:
    opened = bundles.open_bundle(path)
    with opened.engine() as engine:
        yield Chain(opened.preprocess(), engine, opened.task())


def as_native(source: Path, target: Path) -> Path:
    """The same bundle as a target of the engine native makes it."""
    shutil.copytree(source, target)
    document, manifest = (json.loads((target / name).read_text()) for name in ("bundle.json", "manifest.json"))
    document["engine"]["engine"] = manifest["device"]["engine"] = "native"
    write_json(target / "bundle.json", document)
    manifest["files"]["bundle.json"] = sha256_file(target / "bundle.json")
    manifest["sizes"]["bundle.json"] = (target / "bundle.json").stat().st_size
    manifest["digest"] = sha256_of({key: value for key, value in manifest.items() if key != "digest"})
    write_json(target / "manifest.json", manifest)
    return target


def arrays_in(prediction: Any) -> list[np.ndarray]:
    """Every array of a prediction, in order."""
    if isinstance(prediction, np.ndarray):
        return [prediction]
    if isinstance(prediction, dict):
        return [array for value in prediction.values() for array in arrays_in(value)]
    if is_dataclass(prediction):
        return [array for field in fields(prediction) for array in arrays_in(getattr(prediction, field.name))]
    return []


def assert_same(found: Any, expected: Any) -> None:
    """One prediction is the other: type, names and shapes to the letter; labels on 99.9 %, numbers to 1e-3."""
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        for name in expected:
            assert_same(found[name], expected[name])
    elif isinstance(expected, np.ndarray):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
        else:
            assert (found == expected).mean() >= 0.999
    elif is_dataclass(expected):
        for field in fields(expected):
            assert_same(getattr(found, field.name), getattr(expected, field.name))
    else:
        assert found == expected


class TestPipeline:
    def test_is_pythons_chain(self, path: Path, chain: Chain) -> None:
        pipeline = edgekit_native.Bundle.open(path).pipeline()
        for seed in range(3):
            assert_same(pipeline.process(image(seed)), chain({"image": image(seed)}))

    def test_predictions_belong_to_the_caller(self, path: Path) -> None:
        pipeline = edgekit_native.Bundle.open(path).pipeline()
        held = [pipeline.process(image(seed)) for seed in range(8)]
        kept = [[array.copy() for array in arrays_in(one)] for one in held]
        for seed in range(8, 16):
            pipeline.process(image(seed))
        for prediction, copies in zip(held, kept, strict=True):
            for now, then in zip(arrays_in(prediction), copies, strict=True):
                np.testing.assert_array_equal(now, then)

    def test_arrays_outlive_pipeline_and_bundle(self, path: Path) -> None:
        pipeline = edgekit_native.Bundle.open(path).pipeline()
        prediction = pipeline.process(image())
        copies = [array.copy() for array in arrays_in(prediction)]
        del pipeline
        for now, then in zip(arrays_in(prediction), copies, strict=True):
            np.testing.assert_array_equal(now, then)

    def test_memory_that_was_let_go_is_used_again(self) -> None:
        pipeline = edgekit_native.Bundle.open(bundle_of("segmentation")).pipeline()
        places = set()
        for seed in range(12):
            places.add(pipeline.process(image(seed)).labels.ctypes.data)
        assert len(places) == 1

    def test_rows_with_padding_are_read_where_they_lie(self) -> None:
        pipeline = edgekit_native.Bundle.open(bundle_of("segmentation")).pipeline()
        wide = np.zeros((101, 200, 3), np.uint8)
        wide[:, :157] = image()
        view = wide[:, :157]
        assert not view.flags["C_CONTIGUOUS"]
        assert_same(pipeline.process(view), pipeline.process(image()))

    def test_encodings(self) -> None:
        pipeline = edgekit_native.Bundle.open(bundle_of("segmentation")).pipeline()
        expected = pipeline.process(image())
        bgr = np.ascontiguousarray(image()[..., ::-1])
        assert_same(pipeline.process(bgr, "bgr8"), expected)
        rgba = np.dstack([image(), np.full((101, 157), 9, np.uint8)])
        assert_same(pipeline.process(rgba, "rgba8"), expected)
        luma = np.full((96 * 3 // 2, 64), 128, np.uint8)
        assert pipeline.process(luma, "nv12").labels.shape == (96, 64)
        assert pipeline.process(np.zeros((8, 6, 2), np.uint8), "yuyv").labels.shape == (8, 6)
        with pytest.raises(DataError, match="uint16 pixels"):  # the frame is read; the bundle takes 8 bits
            pipeline.process(np.zeros((8, 6), np.uint16), "mono16")

    @pytest.mark.parametrize(
        ("given", "encoding", "message"),
        [
            (np.zeros((4, 4), np.uint8), "rgb8", r"rgb8 is uint8\[H, W, 3\]"),
            (np.zeros((4, 4, 3), np.float32), "rgb8", r"an array of \[4, 4, 3\], 32 bits each"),
            (np.zeros((4, 4, 4), np.uint8), "bgr8", "bgr8 is uint8"),
            (np.zeros((4, 4, 3), np.uint8)[:, ::2], "rgb8", "np.ascontiguousarray"),
            (np.zeros((4, 4, 3), np.uint8)[::-1], "rgb8", "np.ascontiguousarray"),
            (np.zeros((4, 4), np.uint8), "nv12", "no multiple of 3"),
            (np.zeros((0, 4, 3), np.uint8), "rgb8", "no data|no content"),
            (np.zeros((4, 4, 3), np.uint8), "cmyk", "encoding 'cmyk' cannot be read"),
        ],
    )
    def test_frames_that_do_not_fit(self, given: np.ndarray, encoding: str, message: str) -> None:
        pipeline = edgekit_native.Bundle.open(bundle_of("segmentation")).pipeline()
        with pytest.raises(DataError, match=message):
            pipeline.process(given, encoding)
        assert pipeline.process(image()).labels.shape == (101, 157)

    def test_sources_by_name(self, path: Path) -> None:
        pipeline = edgekit_native.Bundle.open(path).pipeline()
        assert_same(pipeline.process({"image": image()}), pipeline.process(image()))

    def test_outputs_timing_and_words(self, path: Path) -> None:
        bundle = edgekit_native.Bundle.open(path)
        pipeline = bundle.pipeline()
        with pytest.raises(InputError, match="no frame"):
            pipeline.outputs()
        pipeline.process(image())
        found = pipeline.outputs()
        assert {name: array.dtype.name for name, array in found.items()} == {s.name: s.dtype for s in bundle.outputs}
        assert set(pipeline.timing_ms()) == {"preprocess", "engine", "postprocess"}
        assert pipeline.geometry().original == (101, 157)
        assert "onnxruntime" in pipeline.describe()

    def test_python_goes_on_while_it_computes(self) -> None:
        """With a switch interval of hours another thread runs only where the GIL is given away."""
        pipeline = edgekit_native.Bundle.open(bundle_of("segmentation")).pipeline()
        frame, begin, ran = image(0, 720, 1280), threading.Event(), threading.Event()
        before = sys.getswitchinterval()
        sys.setswitchinterval(10_000)
        try:
            other = threading.Thread(target=lambda: begin.wait() and ran.set())
            other.start()
            begin.set()  # from here on it waits for the GIL
            frames = 0
            while not ran.is_set() and frames < 300:
                pipeline.process(frame)
                frames += 1
            assert ran.is_set()
        finally:
            sys.setswitchinterval(before)
        other.join()

    def test_threads_wait_for_one_another(self) -> None:
        pipeline = edgekit_native.Bundle.open(bundle_of("segmentation")).pipeline()
        expected = {seed: pipeline.process(image(seed)).labels.copy() for seed in range(2)}
        wrong: list[int] = []

        def work(seed: int) -> None:
            for _ in range(20):
                if not np.array_equal(pipeline.process(image(seed)).labels, expected[seed]):
                    wrong.append(seed)

        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong


class TestBundle:
    def test_says_what_python_says(self, path: Path) -> None:
        native, ours = edgekit_native.Bundle.open(path), bundles.open_bundle(path)
        assert (native.path, native.name, native.digest) == (ours.path, ours.name, ours.digest)
        assert native.inputs == ours.contents.inputs
        assert native.outputs == ours.contents.outputs
        assert (native.backend, native.precision) == ("ort", ours.contents.candidate.precision)
        assert native.task == ours.contents.task.kind

    @pytest.mark.parametrize("spoil", [lambda p: p.write_bytes(p.read_bytes() + b" "), lambda p: p.unlink()])
    def test_a_damaged_one_is_refused(self, spoil: Callable[[Path], Any], tmp_path: Path) -> None:
        copy = Path(shutil.copytree(bundle_of("segmentation"), tmp_path / "copy"))
        spoil(copy / "bundle.json")
        with pytest.raises(BundleError, match=r"bundle\.json"):
            edgekit_native.Bundle.open(copy)

    def test_of_the_engine_native(self, tmp_path: Path) -> None:
        """A bundle of a target ``engine: native``: Python opens it through the plugin, C++ as one of ort."""
        path = as_native(bundle_of("segmentation"), tmp_path / "native")
        expected = edgekit_native.Bundle.open(bundle_of("segmentation")).pipeline().process(image())
        bundle = edgekit_native.Bundle.open(path)
        assert bundle.backend == "native"
        assert_same(bundle.pipeline().process(image()), expected)
        opened = bundles.open_bundle(path)
        with opened.engine() as engine:
            assert engine.describe()["engine"] == "native"
            assert_same(opened.chain(engine)({"image": image()}), expected)

    def test_no_such_role(self) -> None:
        with pytest.raises((BundleError, InputError), match="teacher"):
            edgekit_native.Bundle.open(bundle_of("segmentation")).engine("teacher")


class TestEngine:
    def test_has_the_bits_of_onnx_runtime_in_python(self, path: Path, chain: Chain) -> None:
        feeds = chain.preprocess({"image": image()}).feeds
        found = edgekit_native.Bundle.open(path).engine().infer(feeds)
        for name, array in chain.engine.infer(feeds).items():
            np.testing.assert_array_equal(found[name], array)

    def test_wrong_feeds(self) -> None:
        engine = edgekit_native.Bundle.open(bundle_of("segmentation")).engine()
        with pytest.raises(TensorError, match="missing input 'image'"):
            engine.infer({"picture": np.zeros(3)})
        with pytest.raises(TensorError, match=r"float32\[1, 3, 48, 64\]"):
            engine.infer({"image": np.zeros((1, 3, 48, 64))})
        with pytest.raises(TensorError, match="2 arrays were given"):
            engine.infer({"image": np.zeros((1, 3, 48, 64), np.float32), "more": np.zeros(1)})

    def test_opens_what_the_ort_backend_built(self, path: Path) -> None:
        opened = bundles.open_bundle(path)
        target = engines.target_of({"engine": "native", "threads": 1})
        with engines.backend(target).engine(path / opened.contents.candidate.file) as engine:
            assert engine.inputs == opened.contents.inputs
            assert engine.describe()["engine"] == "native"

    def test_fingerprint_differs_in_the_name_and_in_operators_that_are_built_in(self) -> None:
        native = engines.backend(engines.target_of({"engine": "native"})).fingerprint()
        plain = engines.backend(engines.target_of({"engine": "ort", "operators": False})).fingerprint()
        assert native == plain | {"engine": "native", "operators": edgekit_native.operators()}

    def test_an_engine_with_operators_needs_no_package(self, tmp_path: Path) -> None:
        backend, target = engines.backend(engines.target_of({"engine": "native"})), tmp_path / "t.ort.onnx"
        backend.build(STEMS["with its table"].write(tmp_path / "m.onnx"), target)
        assert backend.made_for(target)["operators"] == edgekit_native.operators()
        plain = engines.backend(engines.target_of({"engine": "ort", "operators": False}))
        plain.build(tmp_path / "m.onnx", tmp_path / "p.ort.onnx")
        frame = STEMS["with its table"].feed()
        with backend.engine(target) as found, plain.engine(tmp_path / "p.ort.onnx") as expected:
            difference = found.infer(frame)["y"] - expected.infer(frame)["y"]
        assert np.abs(difference).max() <= 0.1001
        assert np.mean(difference != 0) < 0.03


class TestHalves:
    def test_preprocess(self, path: Path, chain: Chain) -> None:
        opened = bundles.open_bundle(path)
        document = json.loads((path / "bundle.json").read_text())
        preprocess = edgekit_native.Preprocess(json.dumps(document["preprocess"]), opened.contents.inputs)
        feeds, geometry = preprocess(image())
        expected = chain.preprocess({"image": image()})
        assert geometry == expected.geometry
        for name, array in expected.feeds.items():
            np.testing.assert_allclose(feeds[name], array, atol=0.02 * max(1.0, float(np.abs(array).max())))

    def test_decoder(self, path: Path, chain: Chain) -> None:
        opened = bundles.open_bundle(path)
        document = json.loads((path / "bundle.json").read_text())
        prepared = chain.preprocess({"image": image()})
        outputs = chain.engine.infer(prepared.feeds)
        decoder = edgekit_native.Decoder(json.dumps(document["task"]), opened.contents.outputs)
        assert_same(decoder.decode(outputs, prepared.geometry), chain.task.decode(outputs, prepared.geometry))

    def test_an_output_that_is_missing(self) -> None:
        opened = bundles.open_bundle(bundle_of("segmentation"))
        task = json.dumps(opened.contents.model_dump(mode="json")["task"])
        decoder = edgekit_native.Decoder(task, opened.contents.outputs)
        with pytest.raises(TensorError, match="missing output 'dense'"):
            decoder.decode({}, opened.preprocess()({"image": image()}).geometry)


class TestChain:
    """The fast path of the ROS 2 node."""

    def test_is_pythons_chain(self, path: Path, chain: Chain) -> None:
        from edgekit_native.chain import opened

        with bundles.open_bundle(path) as bundle, opened(bundle) as native:
            for seed in range(2):
                assert_same(native({"image": image(seed)}), chain({"image": image(seed)}))
            passed = native.timed({"image": image()})
            assert_same(passed.prediction, chain({"image": image()}))

    def test_golden_frames_go_through_it(self, path: Path) -> None:
        from edgekit.ros2_node.loading import loaded

        with loaded(path, native="auto") as found:
            assert found.runs == "C++"
            assert found.identity["engine"] == "native"
            assert found.smoke.frames > 0 or found.bundle.contents.task.kind == "outputs"

    def test_frames_that_do_not_fit(self) -> None:
        from edgekit_native.chain import opened

        with bundles.open_bundle(bundle_of("segmentation")) as bundle, opened(bundle) as native:
            with pytest.raises(DataError, match=r"frame 'f7': .*image"):
                native.preprocess({"depth": np.zeros((4, 4), np.float32), "more": image()}, "f7")
            with pytest.raises(DataError, match="uint16 pixels"):
                native({"image": image().astype(np.uint16)})
            assert native({"image": image()}).labels.shape == (101, 157)

    def test_engines_of_another_runtime_are_pythons(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from edgekit.core.errors import EnvironmentFault
        from edgekit_native import chain as chains

        monkeypatch.setattr(chains, "ENGINES", ("other",))
        bundle = bundles.open_bundle(bundle_of("segmentation"))
        with pytest.raises(EnvironmentFault, match="engine 'ort' is run by Python here"), chains.opened(bundle):
            pass


def test_the_fast_path_needs_no_package_for_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are part of libedgekit; Python needs edgekit-ops for the same bundle."""
    from edgekit_native.chain import opened as chain_of

    monkeypatch.setattr(ort.extension, "version", lambda: None)
    opened = bundles.open_bundle(bundle_of("int8"))
    opened.manifest["device"]["operators"] = edgekit_native.operators()
    with chain_of(opened) as chain:
        assert chain.engine.describe()["engine"] == "native"
    with pytest.raises(MissingRequirement, match="edgekit-ops"):
        opened.engine()
    opened.manifest["device"]["machine"] = "riscv64"
    with pytest.raises(BundleError, match="built for machine 'riscv64'"), chain_of(opened):
        pass
