"""What a night leaves: the page, JUnit, the summary, the issue texts and the document."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hil.tests.night.mornings import NASTY, morning

from edgekit_hil.night.files import write_files
from edgekit_hil.night.issue import issue_text
from edgekit_hil.night.side import side_by_side
from edgekit_hil.night.summary import junit, markdown
from tests.support.chromium import browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("morning")
    write_files(morning(made))
    return made


def test_everything_is_written_and_named(folder: Path) -> None:
    document = json.loads((folder / "night.json").read_text())
    assert document["files"] == ["index.html", "junit.xml", "summary.md", "issues/drive-latency-p50-ms.md"]
    assert all((folder / name).is_file() for name in document["files"])
    assert (document["verdict"], document["schema_version"]) == ("fail", 1)


def test_the_page_opens_without_a_request_and_draws_its_charts(folder: Path) -> None:
    asked: list[str] = []
    wrong: list[str] = []
    with browser() as opened:
        page = opened.new_page(viewport={"width": 1200, "height": 900})
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto((folder / "index.html").as_uri())
        page.locator("#trends").scroll_into_view_if_needed()
        page.wait_for_selector("#history-1 .main-svg")
        text = page.inner_text("main")
        order = page.locator("main > div[id], main > section").evaluate_all("all => all.map(one => one.id)")
        shown = page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert wrong == []
    assert shown, "the page is no wider than its window"
    assert NASTY in text, "what boards say is shown as text"
    assert order == ["verdict", "fleet", "regressions", "apart", "side", "trends"]


def test_flaky_boards_are_apart_from_bad_models(folder: Path) -> None:
    page = (folder / "index.html").read_text()
    broke, apart = (re.search(rf'<section id="{name}">.*?</section>', page, re.S) for name in ("regressions", "apart"))
    assert broke is not None
    assert apart is not None
    assert "miou_by_drive (miou) [drive=dusk]" in broke[0]
    assert "12.0% worse than last-good" in broke[0]
    assert "orin-2" not in broke[0]
    assert apart[0].count('<th scope="row">orin-2') == 2


def test_boards_are_compared_side_by_side(tmp_path: Path) -> None:
    runs = morning(tmp_path).runs
    side = side_by_side("drive", {board: run for (board, bundle), run in runs.items() if bundle == "drive"})
    assert side is not None
    rows = {row.name: row for row in side.rows}
    assert rows["miou"].cells == ("0.8100", "0.8800", "0.8801")
    assert (rows["miou"].spread, rows["miou"].apart) == ("differs by 0.0701", True)
    assert (rows["iou/traffic light (red)"].spread, rows["iou/traffic light (red)"].apart) == ("equal", False)
    assert rows["score of frame dusk_007"].spread == "differs by 0.0500"
    assert rows["outputs against golden"].cells[0] == "largest distance 2e-6 of 1e-3"
    assert not rows["bundle"].apart
    assert side.note == "Times of qemu are those of an emulator and mean nothing."


def test_a_board_that_failed_has_no_column(tmp_path: Path) -> None:
    runs = morning(tmp_path).runs
    side = side_by_side("parking", {board: run for (board, bundle), run in runs.items() if bundle == "parking"})
    assert side is not None
    assert side.boards == ("orin-1",)
    assert side_by_side("parking", {"orin-2": runs["orin-2", "parking"]}) is None


def test_junit_tells_failures_of_bundles_from_errors_of_boards(tmp_path: Path) -> None:
    from junitparser import Error, Failure, JUnitXml

    suites = {suite.name: list(suite) for suite in JUnitXml.fromstring(junit(morning(tmp_path).report))}
    assert list(suites) == ["orin-1", "orin-2", "qemu"]
    found = {case.name: type(case.result[0]) if case.result else None for case in suites["orin-1"]}
    assert found == {
        "drive": Failure,
        "drive: latency_p50_ms baseline_ratio": Failure,
        "drive: miou_by_drive (miou) [drive=dusk] baseline_drop": Failure,
        "parking": None,
        "parking: latency_p50_ms baseline_ratio": None,
        "parking: miou_by_drive (miou) [drive=dusk] baseline_drop": None,
    }
    assert [(case.name, type(case.result[0])) for case in suites["orin-2"]] == [("drive", Error), ("parking", Error)]


def test_the_summary_is_a_table_that_what_boards_say_cannot_break(tmp_path: Path) -> None:
    said = markdown(morning(tmp_path).report)
    rows = [line for line in said.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + 5
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 7 for row in rows)
    assert "<script>" not in said
    assert "drive on orin-1: latency\\_p50\\_ms got worse over the nights: 10.05 -> 11.24 ms" in said


def test_the_issue_names_kpi_slice_amount_suspect_and_how_to_see_it(tmp_path: Path) -> None:
    (regression,) = morning(tmp_path).report.regressions
    said = issue_text(regression, "2026-11-29")
    assert "| latency\\_p50\\_ms | - | 12.0% worse than last-good: 10 -\\> 11.2 ms" in said
    assert "| miou\\_by\\_drive (miou) \\[drive=dusk\\] | drive=dusk | 0.07 worse than last-good" in said
    assert "**First bad bundle: drive-cpu@090909090909 (commit 0000009)**, of 16 since" in said
    assert "edgekit hil run --env orin.yaml --bundle b09.edgekit --against b00.edgekit" in said
