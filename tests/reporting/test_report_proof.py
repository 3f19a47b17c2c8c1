"""The section on engine and typed model: layers, outputs, the second check, the race, and what was not asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgekit.core.reports import (
    Contender,
    Contest,
    EngineProof,
    Interval,
    LayersReport,
    Race,
    Timed,
    VerifyReport,
)
from edgekit.reporting import Proof, write_html
from edgekit.reporting.proof import LAYERS, Shown, shown
from tests.support.report_content import content, proof

FOUND = proof()


def report() -> VerifyReport:
    assert FOUND.parity is not None
    return FOUND.parity


def section(**changes: object) -> Shown:
    made = shown(replace(FOUND, parity=replace(report(), **changes)))  # type: ignore[arg-type]
    assert made is not None
    return made


def test_layers_come_with_steps_and_limits_the_worst_first() -> None:
    made = section()
    assert made.title == f"The worst {LAYERS} of 61 layers"
    assert len(made.layers) == LAYERS
    first = made.layers[0]
    assert (first.name, first.module, first.op) == ("node_Conv_0", "backbone.layer0.conv1", "QLinearConv")
    assert (first.steps, first.limit, first.verdict) == ("0.5", "0.55", "pass")
    assert round(first.width) == 91


def test_layers_that_depart_are_all_shown() -> None:
    layers = report().layers
    assert layers is not None
    bad = tuple(replace(layer, steps=7.0, verdict="fail") for layer in layers.worst)
    made = section(layers=replace(layers, verdict="fail", departed=bad), verdict="fail")
    assert made.verdict == "fail"
    assert made.title == "8 of 61 layers depart; the first is to blame"
    assert [(row.width, row.verdict) for row in made.layers] == [(100.0, "fail")] * 8


def test_outputs_say_how_they_were_compared() -> None:
    rows = section().outputs
    assert [(r.name, r.kind.partition(":")[0], r.distance, r.limit, r.noise, r.verdict) for r in rows] == [
        ("logits", "dense", "0.062", "0.055", "0.11", "fail"),
        ("kept", "ranking", "0.01", "0.1", "0.04", "pass"),
    ]


def test_the_second_judge_and_what_was_excused() -> None:
    sentences = section().sentences
    assert sentences[0] == (
        "Second check, what the task makes of engine and typed model on 16 calibration frames: 0.21% pixels of another "
        "class (worst frame 0.91%), allowed 20%; INT8 itself changes 1.47%: pass."
    )
    assert sentences[1].startswith("An output is over its limit although no layer is")
    assert section(agreement=None).sentences[0] == "What the task makes of the engine was not asked."
    assert len(section(outputs=report().outputs[1:]).sentences) == 2
    assert not any("over its limit" in text for text in section(verdict="fail").sentences)


def test_a_backend_without_inner_tensors_says_outputs_only() -> None:
    made = section(layers=LayersReport("outputs only", "pass", reason="TensorRT engines show their outputs only"))
    assert (made.title, made.layers) == ("Outputs only", [])
    assert made.sentences[0] == "No layer was compared: TensorRT engines show their outputs only."


def test_what_parity_json_holds_is_read() -> None:
    race = Race("fp32", 8.1, 23.4, 2.89, None, None, "trtexec", "undecided")
    found = Proof.of(replace(EngineProof.of(report()), race=race))
    assert found.parity == report()
    made = shown(found)
    assert made is not None
    assert made.sentences[-1] == (
        "Race against the control: int8 p50 8.100 ms, its FP32 control 23.400 ms: 2.89x as fast (medians of trtexec, "
        "not in turn): undecided."
    )
    assert Proof.of(EngineProof.of(report())) == replace(FOUND, race="")


def test_an_engine_that_did_not_run_says_why() -> None:
    found = Proof.of(EngineProof("int8", "not run", "no GPU is here"))
    made = shown(found)
    assert made == Shown("Not proven: no GPU is here. Run edgekit verify where the engine runs.", "", [], "", [], [])


def test_page_has_the_section_and_leaves_it_out(tmp_path: Path) -> None:
    write_html(tmp_path / "with.html", content(100))
    page = (tmp_path / "with.html").read_text()
    assert '<a href="#proof">Engine and model</a>' in page
    part = page.partition('<section id="proof">')[2].partition("</section>")[0]
    assert "Outputs against those of the typed model" in part
    assert "Second check" in part
    assert "2.89x [2.87, 2.91] as fast" in part
    write_html(tmp_path / "without.html", content(100, proof=None))
    assert 'id="proof"' not in (tmp_path / "without.html").read_text()
    assert shown(None) is None


def test_every_runtime_of_an_automatic_target_has_a_sentence() -> None:
    ends = Interval(1.9, 2.1)
    timed = Timed(2.0, ends, 3.0, 1.5, Interval(1.4, 1.6), 2.0, ends)
    contest = Contest(
        "cpu",
        "ov",
        10,
        80,
        (
            Contender(
                "ort", "slower", "the chosen one is 2.00x [1.90, 2.10] as fast", "int8", None, "fp32", 1.0, timed
            ),
            Contender("ov", "chosen", "no other is shown to be faster", "int8", None, "fp32", 1.0, timed),
            Contender("acme", "absent", "it is not here"),
        ),
    )
    made = shown(Proof.of(EngineProof("int8", "not run", "no device"), contest))
    assert made is not None
    told = [sentence for sentence in made.sentences if sentence.startswith("Runtimes of this machine's processor")]
    assert len(told) == 3
    assert "ort slower: int8 p50 2.000 ms [1.900, 2.100], its FP32 control 3.000 ms; the chosen one is 2.00x" in told[0]
    assert told[2].endswith("acme absent: it is not here.")
    assert shown(Proof.of(EngineProof("int8", "not run", "no device"))).sentences == []  # type: ignore[union-attr]
