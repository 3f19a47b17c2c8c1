"""What every Dockerfile keeps to; `make dockerfiles` asks hadolint for the rest."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edgekit.core.errors import InputError
from edgekit.images.files import KINDS, Kind, content_of, kind_of

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docker"
EACH = pytest.mark.parametrize("kind", KINDS.values(), ids=str)


def instructions(kind: Kind) -> list[tuple[str, str]]:
    """Instruction and arguments of each line, continued lines joined, comments gone."""
    lines = [line for line in content_of(kind.dockerfile).decode().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in joined.splitlines() if line.strip()]


def final_stage(kind: Kind) -> list[tuple[str, str]]:
    found = instructions(kind)
    return found[max(place for place, (word, _) in enumerate(found) if word == "FROM") :]


def test_every_dockerfile_is_a_kind() -> None:
    assert {path.name for path in FOLDER.glob("*Dockerfile*")} == {kind.dockerfile for kind in KINDS.values()}


def test_an_unknown_kind_is_answered_with_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'runtime-cpu'"):
        kind_of("runtime-cpy")


@EACH
def test_builds_in_a_stage_of_its_own_on_the_base_that_is_asked_for(kind: Kind) -> None:
    found = instructions(kind)
    assert found[0][0] == "ARG"
    name, _, base = found[0][1].partition("=")
    assert name == "BASE"
    assert re.fullmatch(r"\S+:(?!latest)\S*\d\S*", base), "a version, so that it does not change by itself"
    assert [arguments for word, arguments in found if word == "FROM"] == ["${BASE} AS build", "${BASE} AS runtime"]


@EACH
def test_runs_without_root(kind: Kind) -> None:
    users = [arguments for word, arguments in final_stage(kind) if word == "USER"]
    assert users == ["10001:10001"], "by number: Kubernetes cannot tell from a name that it is not root"


@EACH
def test_has_a_health_check_that_computes(kind: Kind) -> None:
    (check,) = [arguments for word, arguments in final_stage(kind) if word == "HEALTHCHECK"]
    expected = '["python3", "-m", "edgekit.images.smoke", "/bundle"]' if kind.holds_bundle else '["edgekit", "doctor"]'
    assert check.endswith(f"CMD {expected}")
    assert "--timeout=" in check


@EACH
def test_says_what_it_is(kind: Kind) -> None:
    (labels,) = [shlex.split(arguments) for word, arguments in final_stage(kind) if word == "LABEL"]
    found = dict(label.split("=", 1) for label in labels)
    prefix = "org.opencontainers.image"
    assert found.keys() == {f"{prefix}.{key}" for key in ("title", "description", "version", "licenses", "base.name")}
    assert found[f"{prefix}.title"] == f"edgekit {kind.name}"
    assert found[f"{prefix}.licenses"] == "Apache-2.0"


@EACH
def test_copies_only_what_the_context_has(kind: Kind) -> None:
    copied = [arguments.split()[:-1] for word, arguments in instructions(kind) if word == "COPY"]
    named = {name.rstrip("/") for names in copied for name in names if not names[0].startswith("--from=")}
    assert named == {*kind.files, "wheels"} | ({"bundle"} if kind.holds_bundle else set())
    let = {line[1:] for line in content_of(".dockerignore").decode().splitlines() if line.startswith("!")}
    assert named <= let
    assert {word for word, _ in instructions(kind)}.isdisjoint({"ADD", "VOLUME"})


@EACH
def test_installs_pinned_versions_and_nothing_recommended(kind: Kind) -> None:
    runs = [arguments for word, arguments in instructions(kind) if word == "RUN"]
    pip = [command for run in runs for command in run.split("&&") if " install " in command and "/pip" in command]
    assert pip
    assert all(" -c /build/" in command and " --no-cache-dir " in command for command in pip)
    apt = [command for run in runs for command in run.split("&&") if "apt-get install" in command]
    assert apt
    assert all("--no-install-recommends" in command for command in apt)
    assert not re.search(r"\b(?:curl|wget)\b", " ".join(runs)), "nothing unchecked is fetched"


@EACH
def test_asks_for_the_extras_of_its_kind(kind: Kind) -> None:
    runs = " ".join(arguments for word, arguments in instructions(kind) if word == "RUN")
    found = re.findall(r'"\$\{own\}\[([\w,]+)\]"', runs)
    assert found == ([",".join(kind.extras)] if kind.extras else [])


def test_pins_of_orin_replace_only_pins_that_there_are() -> None:
    pins = content_of("constraints.txt").decode()
    orin = [line for line in content_of("orin-constraints.txt").decode().splitlines() if not line.startswith("#")]
    assert [line for line in orin if not re.fullmatch(r"cuda-[a-z]+==12\.[\d.]+", line)] == []
    assert all(re.search(rf"^{line.split('==')[0]}==", pins, re.M) for line in orin)


def test_requirements_of_ros_are_those_of_its_environment() -> None:
    def lines(text: str) -> set[str]:
        return {line for line in text.splitlines() if not line.startswith("#")}

    named = lines(content_of("ros2-requirements.txt").decode()) | lines(content_of("ros2-generators.txt").decode())
    assert named <= lines((ROOT / "ros-requirements.txt").read_text())


def test_hadolint_finds_nothing() -> None:
    tool = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if tool is None:
        pytest.skip("hadolint is not here: make dockerfiles installs it")
    found = subprocess.run([tool, *sorted(FOLDER.glob("*.Dockerfile"))], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
