"""``make gpu-check`` where there is no GPU: its parts on the simulated device and on the CPU, and what it skips."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import gpu_check
import numpy as np
import pytest
from gpu_parts import buffers, compress, engines, here, kernel, memory, parts, places, preprocess, training

from edgekit.core.errors import CheckFailed, EnvironmentFault, MissingRequirement
from edgekit.core.golden import Golden
from edgekit.engine import ort
from edgekit.engine.trt.cuda import CudaPython
from tests.support.fake_gpu import Gpu
from tests.support.trt_bench import install

SCRIPT = Path(gpu_check.__file__)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    made = Gpu("cuda-12.9")
    install(made, monkeypatch)
    return made


class Simulated:
    """The kernel on the simulated device; ``wrong`` is added to every result."""

    def __init__(self, gpu: Gpu, wrong: float = 0.0) -> None:
        self.gpu, self.wrong = gpu, wrong

    def launch(self, x: int, y: int, count: int, stream: int) -> None:
        source, target = (self.gpu.at(address, 4 * count, self.gpu.device).view(np.float32) for address in (x, y))

        def compute() -> None:
            target[:] = 2 * source + 1 + np.float32(self.wrong)

        self.gpu.streams[stream].add(compute)


def test_memory(gpu: Gpu) -> None:
    figures = memory.check(CudaPython())
    assert figures["copy_in_gib_per_s"] > 0
    assert gpu.held() == 0


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ("copy_out", "bytes came back changed"),
        ("wait", "came back changed"),
        ("free", "what was freed is still missing"),
        ("launch", "the graph gave"),
    ],
)
def test_memory_that_does_not_do_it(broken: str, words: str, gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CudaPython, broken, lambda self, *given: None)
    with pytest.raises(AssertionError, match=words):
        memory.check(CudaPython())


def test_buffers(gpu: Gpu) -> None:
    assert buffers.check(CudaPython()) == {"device_bytes": 64 * 778, "left_bytes": 0}
    assert not gpu.device


def test_kernel(gpu: Gpu) -> None:
    figures = kernel.check(CudaPython(), Simulated(gpu))
    assert set(figures) == {"launched_us", "graph_us"}
    assert gpu.calls["cudaGraphLaunch"] == 3 + kernel.QUERIES
    assert not gpu.device


def test_a_kernel_that_is_wrong(gpu: Gpu) -> None:
    with pytest.raises(AssertionError, match="query 0: y is not 2 x"):
        kernel.check(CudaPython(), Simulated(gpu, wrong=1e-3))


needs_no_gpu = pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there is a GPU: run make gpu-check")


@pytest.mark.skipif(here.nvcc() is None, reason="nvcc is not here")
@needs_no_gpu
def test_the_real_kernel_gets_as_far_as_cuda(tmp_path: Path) -> None:
    """Compiled, loaded and called: CUDA says that there is no driver (35) or no device (100)."""
    made = kernel.Compiled(tmp_path, "87")
    with pytest.raises(AssertionError, match=r"the launch failed with CUDA error (35|100)"):
        made.launch(0x1000, 0x2000, 4, 0)
    with pytest.raises(AssertionError, match="cudaDevAttrComputeCapabilityMajor: cudaError"):
        kernel.capability()


LOOP = """
#include "preprocess/cuda/fused.hpp"
extern "C" int edgekit_cuda_preprocess(const edgekit::preprocessing::FusedJob* job, void*) {
  float* out = static_cast<float*>(job->tensor);
  for (int y = 0; y < job->rows; ++y)
    for (int x = 0; x < job->columns; ++x) {
      float made[3];
      edgekit::preprocessing::fused_pixel(*job, y, x, made);
      for (int k = 0; k < 3; ++k) out[(k * job->rows + y) * job->columns + x] = made[k];
    }
  return 0;
}
"""


class OnTheProcessor(preprocess.Library):
    """The kernel's function, pixel by pixel, over the simulated device's memory; ``wrong`` is added to every value."""

    def __init__(self, gpu: Gpu, folder: Path, wrong: float = 0.0) -> None:
        room, target = preprocess.SOURCES / "preprocess", folder / "loop.so"
        (folder / "loop.cpp").write_text(LOOP)
        command = ["g++", "-shared", "-fPIC", "-std=c++20", "-O2", f"-I{preprocess.SOURCES}"]
        command += [f"-I{preprocess.SOURCES.parent / 'include'}", "-o", str(target), str(folder / "loop.cpp")]
        subprocess.run([*command, str(room / "cuda" / "axis.cpp"), str(room / "axis.cpp")], check=True, timeout=300)
        super().__init__(target)
        self.gpu, self.wrong = gpu, wrong

    def launch(self, job: preprocess.Job, stream: int) -> None:
        elements, dtype = 3 * job.rows * job.columns, preprocess.DTYPES[job.dtype]
        places = {"frame": 1, "down_pixels": 8, "down_weights": 4, "across_pixels": 8, "across_weights": 4}
        own = preprocess.Job.from_buffer_copy(job)
        for name, size in places.items():
            setattr(own, name, self.gpu.at(getattr(job, name), size, self.gpu.device).ctypes.data)
        target = self.gpu.at(job.tensor, elements * np.dtype(dtype).itemsize, self.gpu.device).view(dtype)
        made = np.empty(elements, np.float32)
        own.tensor = made.ctypes.data

        def compute() -> None:
            super(OnTheProcessor, self).launch(own, stream)
            target[:] = made + np.float32(self.wrong)

        self.gpu.streams[stream].add(compute)


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not here")
def test_preprocess(gpu: Gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocess, "LAUNCHES", 1)
    figures = preprocess.check(CudaPython(), OnTheProcessor(gpu, tmp_path))
    assert figures["float32_largest_difference"] < preprocess.LIMITS["float32"]
    assert not gpu.device
    with pytest.raises(AssertionError, match=r"bgr8 720x1280 stretch float32: .* values of a pixel from Python"):
        preprocess.check(CudaPython(), OnTheProcessor(gpu, tmp_path, wrong=0.01))


@pytest.mark.skipif(here.nvcc() is None, reason="nvcc is not here")
@needs_no_gpu
def test_the_real_preprocessing_gets_as_far_as_cuda(tmp_path: Path) -> None:
    made = preprocess.Library(preprocess.compiled(tmp_path, "87"))
    assert made.axis(4, 2, True)[0].tolist() == [[0, 1], [2, 3]]
    with pytest.raises(AssertionError, match=r"the launch failed with CUDA error (35|100)"):
        made.launch(preprocess.Job(rows=1, columns=1), 0)


def test_places_over_the_stand_in_for_cuda(tmp_path: Path) -> None:
    fake = places.CPP / "test" / "backends" / "tensorrt" / "fake"
    figures = places.check(places.built(tmp_path, ["g++", "-fPIC", f"-I{fake}"]))
    assert figures["frames"] == places.ROUNDS
    header = (fake / "cuda_runtime_api.h").read_text()
    (tmp_path / "cuda_runtime_api.h").write_text(
        header.replace("for (const std::function<void()>& one", "if (false) for (const std::function<void()>& one")
    )
    (tmp_path / "other").mkdir()
    lost = places.built(tmp_path / "other", ["g++", "-fPIC", f"-I{tmp_path}"])
    with pytest.raises(AssertionError, match="not what went in"):
        places.check(lost)


@pytest.mark.skipif(here.nvcc() is None, reason="nvcc is not here")
@needs_no_gpu
def test_the_real_places_get_as_far_as_cuda(tmp_path: Path) -> None:
    library = places.compiled(tmp_path)
    with pytest.raises(MissingRequirement, match="CUDA says"):
        places.check(library)


def test_without_nvcc_the_preprocessing_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(here, "nvcc", lambda: None)
    with pytest.raises(MissingRequirement, match="nvcc is not available on this machine"):
        preprocess.compiled(tmp_path, "87")


def test_without_nvcc_the_kernel_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(here, "nvcc", lambda: None)
    with pytest.raises(MissingRequirement, match="nvcc is not available on this machine"):
        kernel.compiled(tmp_path, "87")


def test_training_on_the_cpu_against_itself() -> None:
    figures = training.check("cpu", steps=20)
    assert figures["fp32_weights_rel_l2"] == figures["fp32_loss_rel"] == 0
    assert 0 < figures["fp16_weights_rel_l2"] < training.CLOSE["fp16"]
    assert figures["fp32_resumed_same_bits"] is figures["fp16_resumed_same_bits"] is True


def test_training_that_goes_elsewhere_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    run = training._run

    def wrong(device: str, steps: int, *given: Any, **keys: Any) -> Any:
        return run("cpu", steps, *given, **({"learning_rate": 0.03} if device == "elsewhere" else {}), **keys)

    monkeypatch.setattr(training, "_run", wrong)
    with pytest.raises(AssertionError, match="fp32: weights and loss are"):
        training.check("elsewhere", steps=20)


def test_pruning_and_distillation_on_the_cpu() -> None:
    figures = compress.check("cpu", steps=30)
    assert figures["prune_after"] < compress.GAIN * figures["prune_before"]
    assert figures["distill_after"] < compress.GAIN * figures["distill_before"]


def test_training_that_repairs_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compress, "GAIN", 1e-6)
    with pytest.raises(AssertionError, match="prune: training took the loss from"):
        compress.check("cpu", steps=2)


def test_engines_on_the_cpu() -> None:
    figures = engines.check(ort.Config(engine="ort"), ("fp32", "int8"))
    assert figures["fp32_rel_l2"] < 1e-5
    assert figures["int8_rel_l2"] < 0.05


def test_an_engine_that_departs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    golden = Golden.read(engines.TINY / "golden.npz")
    louder = [
        {name: np.float32(1.01) * array for name, array in outputs.items()} for outputs in golden.references["fp32"]
    ]
    monkeypatch.setattr(Golden, "read", lambda path: golden.with_reference("fp32", louder))
    with pytest.raises(CheckFailed, match="engine fp32"):
        engines.check(ort.Config(engine="ort"), ("fp32",))


def test_a_device_that_a_backend_does_not_know_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(config: ort.Config) -> None:
        raise EnvironmentFault("no kernels for compute capability 9.0")

    monkeypatch.setattr(ort.Backend, "require", refuse)
    with pytest.raises(MissingRequirement, match=r"ort for this device .* no kernels for compute capability 9\.0"):
        engines.check(ort.Config(engine="ort"), ("fp32",))


def check(*words: object, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    command = [python, str(SCRIPT), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@needs_no_gpu
@pytest.mark.parametrize("names", [("memory", "tensorrt"), pytest.param(gpu_check.PARTS, marks=pytest.mark.slow)])
def test_nothing_to_run(names: tuple[str, ...], tmp_path: Path) -> None:
    result = check("--out", tmp_path / "found.json", "--parts", ",".join(names))
    assert result.returncode == 3, result.stderr
    document = json.loads((tmp_path / "found.json").read_text())
    assert {name: found["status"] for name, found in document["parts"].items()} == dict.fromkeys(names, "skipped")
    assert "a CUDA device" in document["parts"]["memory"]["why"]
    last = result.stdout.splitlines()[-1]
    assert last.startswith("nothing ran; skipped: memory (no CUDA device), ")
    assert all(f"{name} (" in last for name in names)
    assert document["machine"]["python"]


def test_an_interpreter_that_lacks_everything(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    result = check("--out", tmp_path / "o.json", "--parts", "memory", python=str(tmp_path / "bare/bin/python"))
    assert result.returncode == 3, result.stderr
    assert result.stdout.splitlines()[-1].startswith("nothing ran; skipped: memory (no ")


@pytest.mark.parametrize(
    ("statuses", "code", "last"),
    [
        (
            {"memory": "passed", "training": "skipped"},
            0,
            "ran and holds: memory; failed: none; skipped: training (no torch)",
        ),
        ({"memory": "passed", "kernel": "failed"}, 1, "ran and holds: memory; failed: kernel; skipped: none"),
        ({"memory": "failed"}, 1, "ran and holds: none; failed: memory; skipped: none"),
        ({"memory": "skipped"}, 3, "nothing ran; skipped: memory (no torch)"),
    ],
)
def test_the_last_line(statuses: dict[str, str], code: int, last: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        gpu_check._verdict(
            {name: {"status": status, "why": "why", "lacks": "torch"} for name, status in statuses.items()}
        )
        == code
    )
    assert capsys.readouterr().out == last + "\n"


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("import os; os.abort()", "ended with -6"),
        ("raise SystemExit('broken')", "ended with 1: broken"),
        ("import time; time.sleep(60)", "not done after 1 s"),
    ],
)
def test_a_part_that_dies_fails(script: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gpu_check.py").write_text(script)
    monkeypatch.setattr(gpu_check, "BENCHMARKS", tmp_path)
    monkeypatch.setattr(gpu_check, "LEAST_S", 1.0)
    found = gpu_check._part("memory", dict(os.environ), 1.0)
    assert found["status"] == "failed"
    assert words in found["why"]


def test_no_time_left_is_said() -> None:
    assert "are over" in gpu_check._part("memory", {}, 4.0)["why"]


def wheel(folder: Path, name: str, **files: str) -> None:
    with zipfile.ZipFile(folder / name, "w") as archive:
        for module, content in files.items():
            archive.writestr(f"{module}.py", content)


def test_wheels_fill_gaps_and_replace_nothing(tmp_path: Path) -> None:
    wheel(tmp_path, "stub-1.0-py3-none-any.whl", gpu_check_stub="HERE = True", numpy="raise SystemExit('replaced')")
    wheel(tmp_path, "alien-1.0-cp39-cp39-win_amd64.whl", gpu_check_alien="")
    unpacked = here.unpack(tmp_path, tmp_path / "to")
    assert sorted(path.name for path in unpacked.iterdir()) == ["gpu_check_stub.py", "numpy.py"]
    script = "from gpu_parts import here; here.look_late(); import numpy, gpu_check_stub; print(numpy.__version__)"
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parent), here.LATE: str(unpacked)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == np.__version__, done.stderr


@pytest.mark.parametrize(
    ("name", "fitting"),
    [
        ("a-1-py3-none-any.whl", True),
        ("a-1-py2.py3-none-any.whl", True),
        ("a-1-1-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", True),
        ("a-1-cp38-abi3-manylinux2014_x86_64.whl", True),
        ("a-1-cp312-abi3-manylinux2014_x86_64.whl", False),
        ("a-1-cp310-cp310-manylinux2014_x86_64.whl", False),
        ("a-1-cp311-cp311-manylinux2014_aarch64.whl", False),
        ("a-1-cp311-cp311t-manylinux2014_x86_64.whl", False),
        ("a-1-cp311-cp311-macosx_11_0_x86_64.whl", False),
        ("a-1-py2-none-any.whl", False),
    ],
)
def test_which_wheels_fit(name: str, fitting: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(here.sys, "version_info", (3, 11))
    monkeypatch.setattr(here.platform, "machine", lambda: "x86_64")
    assert here.fits(name) is fitting


def test_the_part_names_agree() -> None:
    assert tuple(parts.RUN) == gpu_check.PARTS


def test_no_such_part(tmp_path: Path) -> None:
    result = check("--parts", "memory,engine")
    assert result.returncode == 2
    assert "no part 'engine'; memory, buffers" in result.stderr


def test_bytes_of_another_device_are_found(gpu: Gpu, monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulated device tells its two kinds of memory apart, as a real one does."""
    monkeypatch.setattr(CudaPython, "allocate", lambda self, size: self.pinned(size).ctypes.data)
    with pytest.raises(AssertionError):
        memory.check(CudaPython())
