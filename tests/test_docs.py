"""The documentation names files that exist, and becomes a site whose links lead somewhere."""

from __future__ import annotations

import pkgutil
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from threading import Thread

import pytest
from docs.site import check, schema
from docs.site.pages import Fault, stage

from tests.support.chromium import browser

ROOT = Path(__file__).parents[1]
TOP = r"(?:src/edgekit|tests|benchmarks|docs|examples)/"
ROOMS = "|".join(p.stem for p in (ROOT / "src" / "edgekit").iterdir() if p.is_dir() and p.name[0] != "_")
# A path from the top of the repository, or a file of a room: stats/faster.py.
NAMED = re.compile(rf"(?<![\w/.$}}<-])({TOP}[\w./-]*\w|(?:{ROOMS})/[\w./-]*\w\.(?:py|j2))(?![\w<*{{])")
MADE = re.compile(r"/artifacts\b|/\.work\b|/weights/|results/gpu_check\.json")  # by commands, not in the repository


def _kept() -> set[str]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    return {name for name in listing.stdout.split("\0") if name and (ROOT / name).exists()}


def test_every_file_that_a_page_names_is_there() -> None:
    files = _kept()
    known = files | {str(folder) for name in files for folder in PurePosixPath(name).parents}
    missing = []
    for page in sorted(name for name in files if name.endswith(".md")):
        for number, line in enumerate((ROOT / page).read_text().splitlines(), start=1):
            for name in NAMED.findall(line):
                beside = str(PurePosixPath(page).parent / name)
                if not MADE.search(name) and not {name, f"src/edgekit/{name}", f"{name}.py", beside} & known:
                    missing.append(f"{page}:{number}: {name}")
    assert missing == []


def test_every_name_that_a_docstring_refers_to_is_there() -> None:
    missing = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            for name in re.findall(r":\w+:`~?(edgekit\.[\w.]+)`", line):
                try:
                    pkgutil.resolve_name(name)
                except (AttributeError, ImportError):
                    missing.append(f"{path.relative_to(ROOT)}:{number}: {name}")
    assert missing == []


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("zensical", reason="needs Python 3.11")
    from docs.site.build import build

    site = build(ROOT, tmp_path / "docs")
    spec, commands = (site / "reference" / f"{name}.html" for name in ("spec", "commands"))
    assert "task, kind: segmentation" in spec.read_text()
    assert "--allow-undecided" in commands.read_text()
    assert "edgekit.stats.faster" in (site / "reference" / "api" / "stats.html").read_text()
    with _served(site) as address, browser() as chromium:
        page = chromium.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        for name in ("index", "reference/spec", "reference/api/stats", "report"):
            page.goto(f"{address}/{name}.html", wait_until="networkidle")
    assert asked
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Nothing is written."""


class TestStaging:
    """Pages as the site gets them."""

    @pytest.fixture
    def repository(self, tmp_path: Path) -> Path:
        top = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
        for name in (*top, "benchmarks/peers/README.md", "docs/a.md", "tool.py"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(f"# {name}\n")
        return tmp_path

    @pytest.mark.parametrize(
        ("link", "shown"),
        [
            ("[a](docs/a.md#b)", "[a](a.md#b)"),
            ("[a](https://example.com/x)", "[a](https://example.com/x)"),
            ("[json](tool.py)", "`tool.py`"),
            ("[the tool](tool.py)", "the tool (`tool.py`)"),
            ("[how](benchmarks/peers)", "[how](benchmarks/peers-how.md)"),
            ("[keys](docs/reference/spec.md)", "[keys](reference/spec.md)"),
        ],
    )
    def test_a_link_leads_to_the_page_of_the_site(self, repository: Path, link: str, shown: str) -> None:
        (repository / "README.md").write_text(f"# R\n\nsee {link} now\n\n```\n{link}\n```\n")
        stage(repository, repository / "out")
        text = (repository / "out" / "readme.md").read_text()
        assert f"see {shown} now" in text
        assert f"```\n{link}\n```" in text

    def test_a_link_to_nothing_is_a_fault(self, repository: Path) -> None:
        (repository / "docs" / "a.md").write_text("# A\n\n[b](b.md)\n")
        with pytest.raises(Fault, match=r"docs/a\.md:3: b\.md leads to no file"):
            stage(repository, repository / "out")


class TestCheck:
    """What the finished pages are held to."""

    @pytest.mark.parametrize(
        ("body", "fault"),
        [
            ('<script src="https://cdn.example/x.js"></script>', r"loads https://cdn\.example/x\.js from another host"),
            ('<link rel="stylesheet" href="//cdn.example/x.css">', "from another host"),
            ('<a href="b.html">b</a>', r"b\.html leads to no file"),
            ('<a href="a.html#y">y</a>', r"a\.html#y leads to no heading"),
            ('<img src="b.png">', r"b\.png leads to no file"),
        ],
    )
    def test_a_wrong_page_is_named(self, tmp_path: Path, body: str, fault: str) -> None:
        (tmp_path / "a.html").write_text(f"<h1 id='x'>A</h1>{body}")
        with pytest.raises(Fault, match=rf"a\.html: .*{fault}|a\.html: {fault}"):
            check.site(tmp_path)

    def test_a_style_sheet_of_another_host_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "a.css").write_text("@font-face { src: url(https://fonts.example/a.woff2) }")
        with pytest.raises(Fault, match=r"a\.css: asks another host"):
            check.site(tmp_path)

    def test_a_right_page_passes(self, tmp_path: Path) -> None:
        (tmp_path / "a.html").write_text("<h1 id='x'>A</h1><a href='#x'>x</a><a href='https://example.com'>e</a>")
        check.site(tmp_path)


def test_a_schema_has_a_row_for_each_key_and_a_section_for_each_object() -> None:
    point = {"type": "object", "properties": {"kind": {"const": "point"}, "x": {"type": "number", "minimum": 0}}}
    node = {
        "properties": {
            "shape": {"oneOf": [point, {"type": "null"}], "default": None, "description": "where | what"},
            "names": {"type": "array", "items": {"type": "string"}, "default": ["a"]},
        },
        "required": ["shape"],
    }
    text = schema.page("T", "Intro.", node)
    assert r"| `shape` | [shape, kind: point](#shape-kind-point) or null | required | where \| what |" in text
    assert '| `names` | list of string | `["a"]` |  |' in text
    assert "## shape, kind: point" in text
    assert "| `x` | number ≥ 0 |  |  |" in text


def test_the_architecture_lists_every_room_and_every_stage() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    package = ROOT / "src" / "edgekit"
    rooms = {f"{p.name}/" if p.is_dir() else p.name for p in package.iterdir() if p.name[0] != "_"} - {"py.typed"}
    assert set(re.findall(r"^\| `([\w.]+/?)` \|", text.partition("## Rooms")[2].partition("\n## ")[0], re.M)) == rooms
    stages = {p.stem for p in (package / "stages").glob("[a-z]*.py")}
    assert stages - set(re.findall(r"`(\w+)`", text.partition("## The stages")[2].partition("\n## ")[0])) == set()
