from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edgekit.core.errors import DataError, SpecError, TensorError
from edgekit.core.predictions import ClassScores
from edgekit.core.tensors import Array, TensorSpec
from edgekit.preprocess import place
from edgekit.tasks.antispoofing import AntiSpoofing, Config, choose_threshold
from tests.support.roc_reference import roc_reference

WHOLE = place((24, 40), (24, 40), "stretch")
SECTION: dict[str, Any] = {
    "output": "logits",
    "classes": ["paper", "real", "screen"],
    "live_class": 1,
    "threshold": 0.5,
    "attacks": ["print", "screen"],
}


def task(**options: Any) -> AntiSpoofing:
    return Config.model_validate({**SECTION, **options}).create()


def live(probability: float) -> ClassScores:
    return ClassScores(np.array([1 - probability, probability, 0], np.float32))


def scored(frames: list[tuple[float, str]], **options: Any) -> dict[str, float]:
    accumulator = task(**options).accumulator()
    for i, (probability, kind) in enumerate(frames):
        accumulator.update(live(probability), kind, f"frame-{i}")
    return accumulator.compute()


class TestConfig:
    def test_one_output_or_several(self) -> None:
        assert task().config.output == ("logits",)
        assert task(output=["near", "far"]).config.output == ("near", "far")
        kinds = {choice["type"] for choice in Config.model_json_schema()["properties"]["output"]["anyOf"]}
        assert kinds == {"string", "array"}

    def test_metrics(self) -> None:
        metrics = task().metrics
        names = ["acer", "apcer", "bpcer", "apcer/print", "apcer/screen", "eer", "auc"]
        assert [m.name for m in metrics] == names
        assert [m.name for m in metrics if m.higher] == ["auc"]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"output": []}, "output"),
            ({"output": ["a", "a"]}, "has a name twice: a, a"),
            ({"attacks": []}, "attacks"),
            ({"attacks": ["print", "print"]}, "has a name twice"),
            ({"attacks": [""]}, "attacks"),
            ({"threshold": 0}, "greater than 0"),
            ({"threshold": 1.1}, "less than or equal to 1"),
            ({"threshold": float("nan")}, "threshold"),
            ({"live_class": -1}, "live_class"),
            ({"live_class": None}, "live_class"),
            ({"bona_fide": ""}, "bona_fide"),
        ],
    )
    def test_bad_options(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            task(**options)

    @pytest.mark.parametrize("missing", ["threshold", "live_class", "attacks"])
    def test_nothing_is_assumed(self, missing: str) -> None:
        with pytest.raises(ValidationError, match=missing):
            Config.model_validate({key: value for key, value in SECTION.items() if key != missing})

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"live_class": 3}, r"task\.live_class: 3 is no class id; allowed: 0\.\.2"),
            ({"bona_fide": "print"}, r"task\.attacks: 'print' is task\.bona_fide, not an attack"),
            ({"activation": "sigmoid"}, r"task\.activation: sigmoid tells 2 classes apart, found 3"),
        ],
    )
    def test_options_that_do_not_fit(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(SpecError, match=message):
            task(**options)

    def test_every_output_is_checked(self) -> None:
        near, far = TensorSpec("near", (1, 3)), TensorSpec("far", (1, 3))
        task(output=["near", "far"]).check_outputs([near, far])
        with pytest.raises(SpecError, match="no output 'far'"):
            task(output=["near", "far"]).check_outputs([near])
        with pytest.raises(SpecError, match=r"with 2 values: correct task\.classes"):
            task(output=["near", "far"]).check_outputs([near, TensorSpec("far", (1, 2))])


class TestDecode:
    def test_probabilities_not_logits_are_averaged(self) -> None:
        outputs = {"near": np.array([[0, 9, 0]], np.float32), "far": np.array([[1, 0, 2]], np.float32)}
        made = task(output=["near", "far"]).decode(outputs, WHOLE)
        each = [np.exp(value[0]) / np.exp(value[0]).sum() for value in outputs.values()]
        np.testing.assert_allclose(made.probabilities, np.mean(each, axis=0), rtol=1e-6)
        assert made.probabilities.sum() == pytest.approx(1)
        assert task(output=["near", "far"]).liveness(made) == pytest.approx(float(np.mean(each, axis=0)[1]))

    def test_a_single_logit(self) -> None:
        one = task(classes=["attack", "real"], activation="sigmoid")
        made = one.decode({"logits": np.array([[2.0]], np.float32)}, WHOLE)
        assert one.liveness(made) == pytest.approx(1 / (1 + np.exp(-2.0)))
        assert one.is_bona_fide(made)

    @pytest.mark.parametrize(
        ("far", "message"),
        [
            (np.zeros((1, 2), np.float32), r"'far' has shape \[1, 2\]; expected \[1, 3\]"),
            (np.array([[0, np.nan, 0]], np.float32), "'far' holds NaN"),
            (np.zeros((1, 3)), "'far' is float64"),
        ],
    )
    def test_bad_outputs(self, far: Array, message: str) -> None:
        with pytest.raises(TensorError, match=message):
            task(output=["near", "far"]).decode({"near": np.zeros((1, 3), np.float32), "far": far}, WHOLE)

    def test_the_threshold_itself_is_bona_fide(self) -> None:
        assert task().is_bona_fide(live(0.5))
        assert not task().is_bona_fide(live(0.4999999))
        # 0.1 in float32 is above 0.1 in float64, whose nearest float32 it is.
        assert task(threshold=0.1).is_bona_fide(live(0.1))


@st.composite
def frames(draw: st.DrawFn) -> list[tuple[float, str]]:
    """Liveness and kind of up to 30 frames, with ties; kinds may be absent."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(1, 30))
    kinds = rng.choice(
        ["bona_fide", "print", "screen"], count, p=draw(st.sampled_from([(0.4, 0.3, 0.3), (0.9, 0.1, 0)]))
    )
    scores = rng.beta(1, 1, count) * 0.7 + (kinds == "bona_fide") * 0.3
    if draw(st.booleans()):
        scores = scores.round(1)
    return list(zip(scores.astype(np.float32).tolist(), kinds.tolist(), strict=True))


class TestMetrics:
    @settings(deadline=None, max_examples=1000)
    @given(frames(), st.sampled_from([0.3, 0.5, 0.7]))
    def test_equals_references(self, case: list[tuple[float, str]], threshold: float) -> None:
        made = scored(case, threshold=threshold)
        by_kind = {kind: [score for score, of in case if of == kind] for kind in ("bona_fide", "print", "screen")}
        expected = {}
        for kind in ("print", "screen"):
            if by_kind[kind]:
                taken = [score >= threshold for score in by_kind[kind]]
                expected[f"apcer/{kind}"] = sum(taken) / len(taken)
        if len(expected) == 2:
            expected["apcer"] = max(expected.values())
        if by_kind["bona_fide"]:
            refused = [score < threshold for score in by_kind["bona_fide"]]
            expected["bpcer"] = sum(refused) / len(refused)
        if {"apcer", "bpcer"} <= set(expected):
            expected["acer"] = (expected["apcer"] + expected["bpcer"]) / 2
        if by_kind["bona_fide"] and len(by_kind["bona_fide"]) < len(case):
            expected |= roc_reference([kind == "bona_fide" for _, kind in case], [score for score, _ in case])
        assert made == pytest.approx(expected, abs=1e-6)

    def test_by_hand(self) -> None:
        made = scored(
            [(score, "bona_fide") for score in (0.9, 0.4, 0.8, 0.7)]
            + [(score, "print") for score in (0.6, 0.1)]
            + [(score, "screen") for score in (0.2, 0.3, 0.1)]
        )
        expected = {"apcer/print": 0.5, "apcer/screen": 0.0, "apcer": 0.5, "bpcer": 0.25, "acer": 0.375}
        # bona fide over attack: 19 of 20 pairs; at 0.6 both rates lie between 0 and 1/4 of one, 1/5 of the other
        assert made == pytest.approx(expected | {"eer": 0.2, "auc": 0.95})

    def test_what_was_not_measured_is_left_out(self) -> None:
        assert scored([(0.9, "bona_fide")]) == {"bpcer": 0.0}
        assert scored([(0.9, "print")]) == {"apcer/print": 1.0}
        assert set(scored([(0.9, "print"), (0.8, "screen")])) == {"apcer/print", "apcer/screen", "apcer"}
        # the species without frames might be the worst one
        assert set(scored([(0.9, "print"), (0.8, "bona_fide")])) == {"apcer/print", "bpcer", "eer", "auc"}

    def test_names_of_the_data_set(self) -> None:
        made = scored([(0.9, "live"), (0.1, "mask")], bona_fide="live", attacks=["mask"])
        assert made == {"apcer/mask": 0.0, "apcer": 0.0, "bpcer": 0.0, "acer": 0.0, "eer": 0.0, "auc": 1.0}

    @pytest.mark.parametrize(
        ("truth", "message"),
        [
            (None, "sample 'f7': truth is NoneType; expected a text that names the kind of presentation"),
            (1, "truth is int"),
            ("", "truth is an empty text"),
            ("prints", "'f7': truth is 'prints'; did you mean 'print'.* allowed: bona_fide, print, screen; add the"),
        ],
    )
    def test_truth_that_cannot_belong(self, truth: Any, message: str) -> None:
        with pytest.raises(DataError, match=message):
            task().accumulator().update(live(0.5), truth, "f7")

    def test_predictions_that_cannot_be_scored(self) -> None:
        for values in (np.ones(2), np.array([0, np.nan, 0])):
            with pytest.raises(
                TensorError, match=r"'f7': the prediction has . probabilities, . of them NaN; expected 3"
            ):
                task().accumulator().update(ClassScores(values.astype(np.float32)), "print", "f7")

    def test_nothing_to_score(self) -> None:
        with pytest.raises(DataError, match="no frame to score; evaluate bona fide presentations and attacks"):
            task().accumulator().compute()


def errors(case: list[tuple[float, str]], threshold: float) -> tuple[dict[str, float], float, float]:
    """APCER by species, that of all attacks together, and BPCER."""
    shares = {
        kind: float(np.mean([score >= threshold for score, of in case if of == kind])) for kind in {k for _, k in case}
    }
    bpcer = 1 - shares.pop("bona_fide")
    pooled = float(np.mean([score >= threshold for score, of in case if of != "bona_fide"]))
    return shares, pooled, bpcer


@st.composite
def development(draw: st.DrawFn) -> list[tuple[float, str]]:
    """At least ten frames of each species, and some bona fide ones."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    counts = {"bona_fide": draw(st.integers(1, 20)), "print": 10, "screen": draw(st.integers(10, 15))}
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    scores = rng.beta(2, 2, len(kinds)) * 0.6 + (np.array(kinds) == "bona_fide") * 0.35
    if draw(st.booleans()):
        scores = scores.round(1)
    return list(zip(scores.clip(0, 1).tolist(), kinds, strict=True))


class TestThreshold:
    @settings(deadline=None, max_examples=300)
    @given(development(), st.sampled_from([0.1, 0.25, 0.5]))
    def test_the_lowest_bpcer_that_every_species_allows(self, case: list[tuple[float, str]], rate: float) -> None:
        scores, kinds = np.array([score for score, _ in case]), [kind for _, kind in case]
        found = choose_threshold(scores, kinds, f"bpcer@apcer={rate}")
        assert 0 < found <= 1
        assert found not in scores
        apcer, _, bpcer = errors(case, found)
        assert max(apcer.values()) <= rate
        for other in [*scores, *(scores + 1e-9), 1e-12]:  # every way to part the scores
            if max(errors(case, other)[0].values()) <= rate:
                assert errors(case, other)[2] >= bpcer

    @settings(deadline=None, max_examples=300)
    @given(development())
    def test_equal_errors(self, case: list[tuple[float, str]]) -> None:
        scores, kinds = np.array([score for score, _ in case]), [kind for _, kind in case]
        found = choose_threshold(scores, kinds, "eer")
        _, pooled, bpcer = errors(case, found)
        best = min(abs(other[1] - other[2]) for other in (errors(case, t) for t in [*scores, *(scores + 1e-9)]))
        assert abs(pooled - bpcer) == pytest.approx(best, abs=1e-9)
        assert min(pooled, bpcer) - 1e-9 <= roc_reference([k == "bona_fide" for k in kinds], scores)["eer"]

    def test_half_way_between_live_and_attack(self) -> None:
        scores, kinds = np.array([0.2, 0.4, 0.8, 0.9], np.float32), ["print", "screen", "bona_fide", "bona_fide"]
        for rule in ("eer", "bpcer@apcer=0.5"):
            found = choose_threshold(np.repeat(scores, 2), np.repeat(kinds, 2).tolist(), rule)
            assert found == pytest.approx(0.6, abs=1e-6)

    def test_equally_close_errors(self) -> None:
        """At 0.35 APCER is 1/2 and BPCER 1/4, at 0.6 they are 0 and 1/4."""
        scores, kinds = np.array([0.1, 0.5, 0.2, 0.7, 0.8, 0.9]), ["print"] * 2 + ["bona_fide"] * 4
        assert choose_threshold(scores, kinds, "eer") == pytest.approx(0.6)

    def test_it_fits_the_config(self) -> None:
        found = choose_threshold(np.array([0.0, 1.0]), ["print", "bona_fide"], "eer")
        assert found == 0.5
        made = scored([(0.0, "print"), (1.0, "bona_fide"), (0, "screen")], threshold=found)
        assert made["acer"] == 0.0

    def test_the_worst_species_decides(self) -> None:
        scores = np.array([*[0.1] * 10, *[0.6] * 10, 0.5, 0.9])
        kinds = [*["print"] * 10, *["screen"] * 10, "live", "live"]
        assert choose_threshold(scores, kinds, "bpcer@apcer=0.1", bona_fide="live") == pytest.approx(0.75)
        kinds[10:20] = ["print"] * 10  # one species: half of it passes at any threshold below 0.6
        assert choose_threshold(scores, kinds, "bpcer@apcer=0.5", bona_fide="live") == pytest.approx(0.3)

    @pytest.mark.parametrize(
        ("scores", "kinds", "rule", "message"),
        [
            ([0.5], ["print", "print"], "eer", r"scores \[1\] for 2 kinds"),
            ([0.5, np.nan], ["print", "bona_fide"], "eer", r"a score is NaN or outside 0\.\.1"),
            ([0.5, 1.5], ["print", "bona_fide"], "eer", r"a score is NaN or outside 0\.\.1"),
            ([0.5, 0.6], ["print", "live"], "eer", "0 bona fide frames .'bona_fide'. and 2 species; both are needed"),
            ([0.5], ["bona_fide"], "eer", "1 bona fide frames .* and 0 species"),
            ([0.5, 0.6], ["print", "bona_fide"], "best", "rule 'best' is unknown; allowed: eer, or bpcer@apcer="),
            ([0.5, 0.6], ["print", "bona_fide"], "bpcer@apcer=2", "rule 'bpcer@apcer=2' is unknown"),
            ([0.5, 0.6], ["print", "bona_fide"], "bpcer@apcer=1e", "rule 'bpcer@apcer=1e' is unknown"),
            ([0.5, 0.6], ["print", "bona_fide"], "bpcer@apcer=0.05", "needs at least 20 frames of 'print', found 1"),
            ([1.0, 1.0, 0.6], ["print", "print", "bona_fide"], "bpcer@apcer=0.5", "no threshold up to 1 has an APCER"),
        ],
    )
    def test_bad_input(self, scores: list[float], kinds: list[str], rule: str, message: str) -> None:
        with pytest.raises(DataError, match=message):
            choose_threshold(np.array(scores), kinds, rule)


class TestSequences:
    def test_flicker_is_of_the_verdict(self) -> None:
        assert task().flicker((live(0.6), "print"), (live(0.9), "print")) == {"flicker": 0.0, "flicker_excess": 0.0}
        assert task().flicker((live(0.6), "print"), (live(0.4), "print")) == {"flicker": 1.0, "flicker_excess": 1.0}
        assert task().flicker((live(0.6), "bona_fide"), (live(0.4), "print")) == {"flicker": 1.0}


class TestDraw:
    image = np.full((60, 500, 3), 100, np.uint8)

    def test_a_line_for_the_verdict_and_each_class(self) -> None:
        alone, beside = task().draw(self.image, live(0.8)), task().draw(self.image, live(0.8), "print")
        assert alone.shape == (60 + 4 * 20, 500, 3)
        assert beside.shape == (60 + 5 * 20, 500, 3)
        np.testing.assert_array_equal(alone[:60], self.image)
        assert not np.array_equal(alone[60:80], task().draw(self.image, live(0.2))[60:80])

    def test_colours_of_right_and_wrong(self) -> None:
        for truth, share, right in (("print", 0.8, False), ("bona_fide", 0.8, True), ("print", 0.3, True)):
            red, _, blue = task().draw(self.image, live(share), truth)[62, 5].astype(int)
            assert (blue > red) == right
        with pytest.raises(DataError, match="truth is 'other'"):
            task().draw(self.image, live(0.5), "other")

    def test_painted_on_the_image(self) -> None:
        for shown in (live(0.8), "screen"):
            painted = task().paint(self.image, shown)
            assert painted.shape == self.image.shape
            assert (painted[:20, :40] != 100).any()
            assert (painted[20:] == 100).all()
