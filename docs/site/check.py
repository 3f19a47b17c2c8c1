"""What the finished pages must hold: links and anchors that lead somewhere, and no file from another host."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from docs.site.pages import Fault

# Tags whose address the browser loads by itself; `a` is followed by a person only.
LOADED = {"link": "href", "object": "data", **dict.fromkeys(("script", "img", "iframe", "source", "video"), "src")}
NOT_LOADED = {"canonical", "prev", "next", "alternate", "author", "license"}
_CSS = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])(https?:)?//")


class _Page(HTMLParser):
    """Identifiers and addresses of one page."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attrs if value is not None}
        self.ids.update(found[key] for key in ("id", "name") if key in found)
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        key = LOADED.get(tag)
        if key is not None and key in found and found.get("rel") not in NOT_LOADED:
            self.loaded.append(found[key])


def site(folder: Path) -> None:
    """Check every page and style sheet below ``folder``.

    Raises:
        Fault: all that is wrong, one line each.
    """
    pages = {}
    for path in sorted(folder.rglob("*.html")):
        pages[path.resolve()] = _Page()
        pages[path.resolve()].feed(path.read_text(encoding="utf-8"))
    faults = [fault for path, page in pages.items() for fault in _faults(path, page, pages, folder.resolve())]
    for sheet in sorted(folder.rglob("*.css")):
        if _CSS.search(sheet.read_text(encoding="utf-8")):
            faults.append(f"{sheet.relative_to(folder)}: asks another host for a file")
    if faults:
        raise Fault("\n".join(["the finished site is wrong", *faults]))


def _faults(path: Path, page: _Page, pages: dict[Path, _Page], folder: Path) -> list[str]:
    here = path.relative_to(folder)
    faults = [f"{here}: loads {address} from another host" for address in page.loaded if _foreign(address)]
    if here.name == "404.html":  # served for any address, so its links are absolute
        return faults
    for address in [*page.links, *page.loaded]:
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            continue
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        target = target / "index.html" if target.is_dir() else target
        if not target.is_file():
            faults.append(f"{here}: {address} leads to no file")
        elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
            faults.append(f"{here}: {address} leads to no heading")
    return faults


def _foreign(address: str) -> bool:
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme in ("http", "https")
