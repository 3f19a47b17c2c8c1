"""The page in a browser: what a person sees, on a desk, in the dark, on a phone, on paper."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from edgekit.core.errors import InputError, MissingRequirement, OutputError
from edgekit.core.reports import MachineReport
from edgekit.reporting import Content, Picture, find_browser, pdf, write_html, write_pdf
from tests.support.chromium import browser, executable
from tests.support.report_content import METRICS, content, evaluation, gate, history, jpeg, profile

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LARGEST = 8 * 2**20
EVIL = "</script><script>window.evil=1</script><img src=x onerror=window.evil=2>"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run of 5,000 queries and frames."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_html(path, content())
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


def opened(
    chromium: Browser, path: Path, width: int = 1280, fragment: str = "", **options: Any
) -> tuple[Page, list[str]]:
    """The page with every chart drawn, and what went wrong meanwhile."""
    page = chromium.new_page(viewport={"width": width, "height": 900}, **options)
    problems: list[str] = []
    page.on("console", lambda message: problems.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda sent: None if sent.url.startswith(("file:", "data:")) else problems.append(sent.url))
    page.goto(path.as_uri() + fragment)
    page.wait_for_selector("html[data-ready]", state="attached")
    for box in page.query_selector_all(".plot"):
        box.scroll_into_view_if_needed()
        page.wait_for_function("box => box.querySelector('svg.main-svg')", arg=box)
    page.evaluate("scrollTo(0, 0)")
    return page, problems


@pytest.fixture(scope="module")
def desk(chromium: Browser, report: Path) -> tuple[Page, list[str]]:
    """The report on a desk, in the light."""
    return opened(chromium, report, color_scheme="light")


def test_every_chart_is_drawn_without_scrolling(chromium: Browser, report: Path) -> None:
    page = chromium.new_page(viewport={"width": 1280, "height": 600})
    page.goto(report.as_uri())
    page.wait_for_function("() => [...document.querySelectorAll('.plot')].every(box => box.querySelector('.main-svg'))")
    assert page.evaluate("scrollY") == 0
    page.close()


def test_what_is_in_view_is_drawn_when_the_page_is_loaded(chromium: Browser, report: Path) -> None:
    page = chromium.new_page(viewport={"width": 1280, "height": 5000})
    page.add_init_script("performance.now = () => 0")  # the page gives up after a time that a busy machine may need
    page.add_init_script(
        "addEventListener('load', () => { window.atLoad = document.querySelectorAll('#latency .main-svg').length; })"
    )
    page.goto(report.as_uri())
    assert page.evaluate("window.atLoad") > 0
    page.close()


def test_without_idle_callbacks_every_chart_is_drawn(chromium: Browser, report: Path) -> None:
    page = chromium.new_page(viewport={"width": 1280, "height": 600})
    page.add_init_script("delete window.requestIdleCallback")
    page.goto(report.as_uri())
    page.wait_for_function("() => [...document.querySelectorAll('.plot')].every(box => box.querySelector('.main-svg'))")
    page.close()


def overflow(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def test_size(report: Path) -> None:
    assert report.stat().st_size <= LARGEST


def test_same_content_same_bytes(tmp_path: Path) -> None:
    for name in ("a.html", "b.html"):
        write_html(tmp_path / name, content(100))
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_desktop(desk: tuple[Page, list[str]]) -> None:
    page, problems = desk
    assert problems == []
    assert page.title() == "FAIL: camvid-seg-orin-agx@3f9c1b20a7de"
    sizes = page.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert len(sizes) == 12
    assert min(sizes) > 0
    assert len(page.query_selector_all(".plot svg.main-svg")) >= 7
    first = page.inner_text("#kpis tbody tr:first-child")
    assert "fail" in first
    assert "miou" in first
    for section in page.eval_on_selector_all("nav a", "links => links.map(link => link.getAttribute('href'))"):
        assert page.query_selector(f"section{section}") is not None, section
    assert overflow(page) == 0


def test_accessible(desk: tuple[Page, list[str]]) -> None:
    page, _ = desk
    assert page.evaluate(
        "[...document.images, ...document.querySelectorAll('[role=img]')].every(e => e.alt || e.ariaLabel)"
    )
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert page.evaluate(
        "[...document.querySelectorAll('thead th')].every(h => h.scope === 'col' && h.textContent.trim())"
    )
    marks = page.eval_on_selector_all("#kpis .mark", "marks => marks.map(mark => mark.textContent.trim())")
    assert marks == ["✗ fail", "? undecided", "✓ pass", "✓ pass", "✓ pass"]


def switch(page: Page, system: Literal["light", "dark"]) -> None:
    """Change the system's theme; the page hears of it with its next frame."""
    page.emulate_media(color_scheme=system)
    page.wait_for_function("dark => matchMedia('(prefers-color-scheme: dark)').matches === dark", arg=system == "dark")
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def background(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def test_dark_follows_the_button_and_the_system(desk: tuple[Page, list[str]]) -> None:
    page, problems = desk
    ink = "document.querySelector('#pareto .xtick text').style.fill"
    light = background(page), page.evaluate(ink)
    switch(page, "dark")
    dark = background(page), page.evaluate(ink)
    assert dark[0] != light[0]
    assert dark[1] != light[1]
    page.click("#theme")
    assert (background(page), page.evaluate(ink)) == light
    switch(page, "light")
    page.click("#theme")
    assert (background(page), page.evaluate(ink)) == dark
    page.click("#theme")
    assert problems == []


def test_phone(chromium: Browser, report: Path) -> None:
    page, problems = opened(chromium, report, width=390, has_touch=True, is_mobile=True)
    assert problems == []
    assert overflow(page) == 0
    wide = page.evaluate("[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth).length")
    assert wide > 0  # tables scroll inside, with a shade at the edge
    backgrounds = "[...document.querySelectorAll('.scroll')].map(e => getComputedStyle(e).backgroundAttachment)"
    assert set(page.evaluate(backgrounds)) == {"local, local, scroll, scroll"}
    assert page.evaluate("[...document.querySelectorAll('nav a')].every(a => a.getBoundingClientRect().right <= 390)")
    assert page.evaluate(
        "[...document.querySelectorAll('.plot svg')].every(s => s.getBoundingClientRect().right <= 390)"
    )
    page.close()


def test_paper(chromium: Browser, report: Path) -> None:
    page, problems = opened(chromium, report, fragment="#print", color_scheme="dark")
    assert problems == []
    assert page.evaluate("[...document.querySelectorAll('.plot')].every(box => box.querySelector('svg.main-svg'))")
    assert page.evaluate("[...document.querySelectorAll('details')].every(part => part.open)")
    assert page.get_attribute("html", "data-theme") == "light"
    page.close()


def test_details_are_open_while_the_page_is_printed(desk: tuple[Page, list[str]]) -> None:
    page, _ = desk
    closed = "document.querySelectorAll('#provenance details:not([open])').length"
    folded = page.evaluate(closed)
    assert folded == page.evaluate("document.querySelectorAll('#provenance dl').length") > 0
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(closed) == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(closed) == folded


def test_columns_on_paper_are_apart(desk: tuple[Page, list[str]]) -> None:
    page, _ = desk
    page.emulate_media(media="print")
    gaps = page.evaluate(
        "[...document.querySelectorAll('thead th:not(:last-child)')].map("
        "h => parseFloat(getComputedStyle(h).paddingRight))"
    )
    assert min(gaps) >= 12
    page.emulate_media(media="screen")


def test_names_from_data_are_harmless(chromium: Browser, tmp_path: Path) -> None:
    measured, timed = evaluation(50), profile(100)
    metrics = {f"iou/{EVIL}": 0.5} | measured.metrics
    layers = tuple(replace(layer, node=EVIL, op=EVIL, module=EVIL.replace(".", "_")) for layer in timed.layers[:3])
    slices = tuple(replace(part, value=EVIL, column=EVIL) for part in measured.slices)
    worst = tuple(replace(frame, id=EVIL) for frame in measured.worst)
    bundle = f"{EVIL}@1"
    charts = tuple(replace(found, series=replace(found.series, runs=(EVIL,) * 40, metric=EVIL)) for found in history())
    judged = replace(
        gate(), bundle=bundle, kpis=tuple(replace(kpi, name=EVIL, where=EVIL, reason=EVIL) for kpi in gate().kpis)
    )
    evil = Content(
        judged, replace(measured, bundle=bundle, metrics=metrics, slices=slices, worst=worst, dataset=EVIL),
        replace(timed, bundle=bundle, layers=layers, machine=MachineReport(cpu=EVIL)), None,
        (Picture(EVIL, jpeg(0), EVIL),),
        charts, {EVIL: {EVIL: EVIL}}, METRICS,
    )  # fmt: skip
    write_html(tmp_path / "evil.html", evil)
    page, problems = opened(chromium, tmp_path / "evil.html")
    assert problems == []
    assert page.evaluate("window.evil") is None
    assert page.evaluate("document.scripts.length") == 4  # ours, the figures, Plotly packed and unpacked
    assert page.evaluate("[...document.images].every(image => image.src.startsWith('data:image/jpeg'))")
    assert EVIL in (page.text_content("#provenance") or "")
    page.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"profile": None, "gate": None, "compress": None, "pictures": (), "history": (), "provenance": {}},
        {"evaluation": None, "gate": None, "compress": None, "pictures": (), "history": (), "metrics": ()},
    ],
    ids=["accuracy only", "latency only"],
)
def test_what_is_missing_leaves_no_empty_box(chromium: Browser, tmp_path: Path, changes: dict[str, Any]) -> None:
    write_html(tmp_path / "part.html", content(300, **changes))
    page, problems = opened(chromium, tmp_path / "part.html")
    assert problems == []
    assert page.evaluate("[...document.querySelectorAll('section')].every(s => s.querySelector('td, img, svg, dd'))")
    assert page.evaluate("[...document.querySelectorAll('tbody, dl, nav ul')].every(e => e.children.length > 0)")
    assert "Not measured: " in page.inner_text("footer")
    assert "No KPI was judged" in page.inner_text("#verdict")
    page.close()


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(MissingRequirement, match=r'pip install "edgekit\[report\]"'):
        write_html(tmp_path / "r.html", content(100))
    assert list(tmp_path.iterdir()) == []


def test_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_html(tmp_path / "file" / "r.html", content(100))


def test_pdf(report: Path, tmp_path: Path) -> None:
    executable()
    write_pdf(report, tmp_path / "r.pdf")
    printed = (tmp_path / "r.pdf").read_bytes()
    assert printed.startswith(b"%PDF-")
    assert 4 <= printed.count(b"/Type /Page\n") <= 20
    # Text of the charts' axes is drawn in vectors, pictures are kept.
    assert printed.count(b"/Subtype /Image") >= 12
    assert [path.name for path in tmp_path.iterdir()] == ["r.pdf"]


def test_pdf_refuses(report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"no such report"):
        write_pdf(tmp_path / "absent.html", tmp_path / "r.pdf")
    monkeypatch.setattr(pdf, "BROWSERS", ("no-such-browser",))
    with pytest.raises(MissingRequirement, match="apt-get install --no-install-recommends chromium"):
        write_pdf(report, tmp_path / "r.pdf")
    with pytest.raises(MissingRequirement):
        find_browser()
    assert list(tmp_path.iterdir()) == []
