"""``engine: auto``: which runtimes may serve a target, found through the plugins and by trying them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.support.projects import SPEC

from edgekit import engine
from edgekit.core import plugins
from edgekit.core.errors import EnvironmentFault, InputError, MissingRequirement, SpecError
from edgekit.core.specfile import read_spec
from edgekit.engine import Absent, AutoConfig, backends, contenders, lacking, ort, ov
from edgekit.remote import backends as remote_backends
from edgekit.remote import on_host

CONFIG = AutoConfig(engine="auto", threads=2, pin=(0, 1), precision="int8")
INSTALL = 'pip install "edgekit[ov]"'


def missing(self: object) -> None:
    raise MissingRequirement("OpenVINO", INSTALL)


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both of edgekit's own, whatever is installed here."""
    known = ("ort", "ov", "trt")
    monkeypatch.setattr(plugins, "names", lambda kind, real=plugins.names: known if kind == "engine" else real(kind))
    for backend in (ort.Backend, ov.Backend):
        monkeypatch.setattr(backend, "require", lambda self: None)


@pytest.mark.usefixtures("both")
class TestContenders:
    def test_each_is_bound_to_the_targets_keys(self) -> None:
        found = contenders(CONFIG)
        assert found.absent == ()
        assert [backend.config for backend in found.here] == [
            ort.Config(engine="ort", threads=2, pin=(0, 1), precision="int8"),
            ov.Config(engine="ov", threads=2, pin=(0, 1), precision="int8"),
        ]

    def test_another_target_has_one(self) -> None:
        (only,) = backends(ort.Config(engine="ort"))
        assert isinstance(only, ort.Backend)
        assert len(backends(CONFIG)) == len(remote_backends(CONFIG)) == 2
        assert len(remote_backends(ort.Config(engine="ort"))) == 1

    def test_what_is_missing_says_how_it_is_installed_and_what_it_brings(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ov.Backend, "require", missing)
        monkeypatch.setattr(ov.Backend, "gain", lambda self: "it is faster")
        (absent,) = contenders(CONFIG).absent
        assert absent.line() == (
            f"ov: OpenVINO is not available on this machine; install it with: {INSTALL}; it is faster"
        )
        assert Absent("x", "is not here", "").line() == "x: is not here"

    def test_nothing_left_is_exit_code_3(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for backend in (ort.Backend, ov.Backend):
            monkeypatch.setattr(backend, "require", missing)
        with pytest.raises(EnvironmentFault, match=r"finds no runtime .*: ort: OpenVINO .*; ov: OpenVINO") as at:
            contenders(CONFIG)
        assert at.value.exit_code == 3

    def test_a_plugin_of_another_form_is_no_contender(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(name: str, real: object = engine.backend_class) -> type[engine.Backend]:
            if name == "trt":
                raise InputError("it has no class Backend")
            return real(name)  # type: ignore[operator, no-any-return]

        monkeypatch.setattr(engine._auto, "backend_class", refuse)
        assert [backend.config.engine for backend in contenders(CONFIG).here] == ["ort", "ov"]


class TestLacking:
    @pytest.fixture(autouse=True)
    def without_openvino(self, both: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ov.Backend, "require", missing)

    def test_of_a_processor_where_it_would_gain(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ov.platform, "machine", lambda: "x86_64")
        (absent,) = lacking(ort.Config(engine="ort"))
        assert absent.line().endswith(f"install it with: {INSTALL}; {ov.GAIN}")
        monkeypatch.setattr(ov.platform, "machine", lambda: "aarch64")
        assert lacking(ort.Config(engine="ort")) == ()

    def test_not_of_another_device(self) -> None:
        assert lacking(ort.Config(engine="ort", provider="cuda")) == ()
        assert lacking(engine.target_of({"engine": "trt"})) == ()


def test_only_the_processors_own_runtimes_contend() -> None:
    assert ort.Backend(ort.Config(engine="ort")).contends()
    assert not ort.Backend(ort.Config(engine="ort", provider="cuda")).contends()
    assert not engine.backend(engine.target_of({"engine": "trt"})).contends()


class TestSpec:
    def written(self, folder: Path, target: str) -> Path:
        file = folder / "edgekit.yaml"
        file.write_text(SPEC.replace("{engine: ort, threads: 1}", target))
        return file

    def test_a_target_may_name_the_machine_alone(self, tmp_path: Path) -> None:
        spec = read_spec(self.written(tmp_path, "{engine: auto, threads: 2}"))
        assert spec.targets["cpu"] == AutoConfig(engine="auto", threads=2)

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            ("{engine: auto, treads: 2}", "unknown key 'treads'.*did you mean 'threads'"),
            ("{engine: aut}", "'aut' is unknown.*did you mean 'auto'"),
            ("{engine: auto, precision: int4}", "expected 'int8', 'fp16', 'bf16' or 'fp32'"),
            ("{engine: auto, host: me@board}", "takes no host .*on the board itself, or name one runtime"),
            ("{engine: auto, threads: 2, pin: [1]}", "pin names 1 CPUs for 2 threads"),
        ],
    )
    def test_mistakes(self, target: str, message: str, tmp_path: Path) -> None:
        with pytest.raises(SpecError, match=message) as at:
            read_spec(self.written(tmp_path, target))
        assert at.value.exit_code == 2

    def test_it_is_built_on_this_machine_only(self, tmp_path: Path) -> None:
        spec = read_spec(self.written(tmp_path, "{engine: auto}"))
        with pytest.raises(SpecError, match="has engine auto, which is built on this machine only"):
            on_host(spec, "cpu", "me@board")

    def test_a_bundle_holds_a_runtime(self) -> None:
        from edgekit.bundle import Contents

        with pytest.raises(ValidationError, match="'auto' is unknown"):
            Contents.model_validate({"engine": {"engine": "auto"}})
