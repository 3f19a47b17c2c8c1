"""The C++ runtime keeps the rules of the house: short files, lean headers, every linked library with a licence."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CPP = ROOT / "cpp"
PAGE = ROOT / "docs" / "cpp.md"
MOST_LINES = 400
NOT_SHIPPED = ("test", "bench", "fuzz", "ros2", "python")
OWN = {"edgekit", "edgekit-run", "edgekit_run", "edgekit_flags", "edgekit_tensorrt", "PRIVATE", "PUBLIC", "INTERFACE"}
# Of the standard library, but too heavy for a header that everybody includes.
HEAVY = {"iostream", "regex"}


def _files(*suffixes: str) -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z", "cpp"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    return [path for path in paths if path.exists() and (path.suffix in suffixes or path.name in suffixes)]


def _linked() -> set[str]:
    """What the library and the tool are linked to, as CMake names it."""
    found = set()
    for path in _files("CMakeLists.txt", ".cmake"):
        if set(NOT_SHIPPED) & set(path.relative_to(CPP).parts):
            continue
        text = re.sub(r"#.*", "", path.read_text())
        for call in re.findall(r"target_link_libraries\(([^)]*)\)", text):
            words = re.findall(r"[\w:-]+", re.sub(r"\$<BUILD_INTERFACE:([^>]*)>", r"\1", call).replace("$", " "))
            found.update(words[1:])
    return found - OWN


def test_no_file_is_long() -> None:
    files = _files(".cpp", ".hpp", ".h", ".c", ".cu", ".cuh", ".py", ".sh", ".cmake", "CMakeLists.txt")
    assert len(files) > 50
    long = [
        (str(path.relative_to(ROOT)), count)
        for path in files
        if (count := len(path.read_text().splitlines())) > MOST_LINES
    ]
    assert not long


def test_public_headers_include_the_standard_library_only() -> None:
    wrong = []
    headers = [path for path in _files(".hpp", ".h") if path.is_relative_to(CPP / "include")]
    assert headers
    for path in headers:
        for name in re.findall(r'^#include ["<]([^">]+)[">]', path.read_text(), re.MULTILINE):
            ours = name.startswith("edgekit/") and (CPP / "include" / name).exists()
            standard = re.fullmatch(r"[a-z_]+|std(def|int)\.h", name) and name not in HEAVY
            if not ours and not standard:
                wrong.append(f"{path.name}: {name}")
    assert wrong == []


def test_every_linked_library_stands_with_its_licence_on_the_page() -> None:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| (`[^|]+`) \| [^|]+ \|$", PAGE.read_text(), re.MULTILINE)
    listed = {name for _, licence, names in rows if licence.strip() for name in re.findall(r"`([^`]+)`", names)}
    linked = _linked()
    assert "OpenSSL::Crypto" in linked
    assert linked - listed == set(), f"linked, but without a row in {PAGE.name}"
    assert listed - linked == set(), f"a row in {PAGE.name}, but not linked"


def test_the_consumer_on_the_page_is_the_one_that_is_built() -> None:
    shown = re.search(r"^```cpp\n(#include <cstdio>.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert shown is not None
    assert shown[1] == (CPP / "test" / "consumer" / "main.cpp").read_text()


def test_a_wrong_row_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "cpp.md"
    page.write_text(PAGE.read_text().replace("| `PNG::PNG` |", "| `PNG::OTHER` |"))
    monkeypatch.setattr(f"{__name__}.PAGE", page)
    with pytest.raises(AssertionError, match="PNG::PNG"):
        test_every_linked_library_stands_with_its_licence_on_the_page()
