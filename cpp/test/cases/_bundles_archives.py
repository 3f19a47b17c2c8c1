"""Single files of a bundle made bad, or another, one edit a name."""

from __future__ import annotations

import shutil
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

from edgekit.bundle import MANIFEST, SIGNATURE

OLD = Path(__file__).parents[3] / "tests" / "golden" / "bundle_v1.edgekit"
Edit = Callable[[Path], object]
ARCHIVES: dict[str, Edit] = {}
"""Name to what makes a copy of the good single file bad, or another."""
BOMB = 64 * 2**20


def _archive(name: str) -> Callable[[Edit], Edit]:
    def keep(edit: Edit) -> Edit:
        ARCHIVES[name] = edit
        return edit

    return keep


def more(name: str, member: str, content: bytes, compression: int = zipfile.ZIP_STORED) -> None:
    """A single file with one more member."""

    def edit(file: Path) -> None:
        with warnings.catch_warnings(), zipfile.ZipFile(file, "a") as zipped:
            warnings.simplefilter("ignore")
            zipped.writestr(member, content, compression)

    ARCHIVES[name] = edit


def other(name: str, member: str | None, content: bytes, source: str = "good") -> None:
    """A deflated single file, with another member of that name."""

    def edit(file: Path) -> None:
        given = file.with_name(f"{source}.edgekit")
        with zipfile.ZipFile(given) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
            for found in old.namelist():
                made.writestr(found, content if found == member else old.read(found))

    ARCHIVES[name] = edit


more("member-unknown", "engines/zeros.bin", bytes(2**17))
more("member-unknown-bomb", "engines/zeros.bin", bytes(BOMB), zipfile.ZIP_DEFLATED)
more("member-twice", "golden.npz", b"x")
more("member-outside", "../outside", b"x")
more("member-inside-outside", "golden/../../outside", b"x")
more("member-absolute", "/etc/edgekit", b"x")
more("member-folder", "nothing/", b"")
more("signature-large", SIGNATURE, bytes(2**17))
more("signature-of-nobody", SIGNATURE, b"{}")
more("name-in-utf-8", "ä", b"x")
other("deflated", None, b"")
other("bomb", "golden.npz", bytes(BOMB))
other("bomb-manifest", MANIFEST, bytes(BOMB))
other("other-content", "calibration.json", b"x")
other("old-compressed", "golden.npz", bytes(BOMB), "old")


@_archive("old-with-more")
def _old_with_more(file: Path) -> None:
    shutil.copy(OLD, file)
    with zipfile.ZipFile(file, "a") as zipped:
        zipped.writestr("zeros.bin", bytes(2**10))


@_archive("same-size")
def _same_size(file: Path) -> None:
    with zipfile.ZipFile(file) as given:
        size = given.getinfo("golden.npz").file_size
    other("", "golden.npz", bytes(size))
    ARCHIVES.pop("")(file)


@_archive("short")
def _short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:5000])


@_archive("ends-in-golden")
def _ends_in_golden(file: Path) -> None:
    """A truncated file that shows the archive inside golden.npz."""
    content = file.read_bytes()
    with zipfile.ZipFile(file) as given:
        golden = given.read("golden.npz")
    file.write_bytes(content[: content.index(golden) + len(golden)])


@_archive("nothing-inside")
def _nothing_inside(file: Path) -> None:
    file.write_bytes(b"")


@_archive("text-inside")
def _text_inside(file: Path) -> None:
    file.write_bytes(b"no archive\n" * 100)


@_archive("empty-archive")
def _empty_archive(file: Path) -> None:
    with zipfile.ZipFile(file, "w"):
        pass


@_archive("damaged-member")
def _damaged_member(file: Path) -> None:
    content = bytearray(file.read_bytes())
    at = content.index(b"PK\x03\x04", 4)  # the second member's header
    content[at + 60] ^= 1
    file.write_bytes(content)


@_archive("encrypted")
def _encrypted(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[6] |= 1  # of the first member: local header, then central directory
    content[content.index(b"PK\x01\x02") + 8] |= 1
    file.write_bytes(content)


@_archive("link-inside")
def _link_inside(file: Path) -> None:
    """A member that says it is a symbolic link, instead of a file."""
    given = file.with_name("good.edgekit")
    with zipfile.ZipFile(given) as old, zipfile.ZipFile(file, "w") as made:
        for found in old.infolist():
            if found.filename == "golden.npz":
                found.external_attr = 0o120777 << 16
                made.writestr(found, b"/etc/passwd")
            else:
                made.writestr(found, old.read(found.filename))


@_archive("streamed")
def _streamed(file: Path) -> None:
    """As a program that cannot seek writes it: sizes behind the data."""
    given = file.with_name("good.edgekit")

    class Stream:
        def __init__(self, path: Path) -> None:
            self.file = path.open("wb")

        def write(self, data: bytes) -> int:
            return self.file.write(data)

        def flush(self) -> None:
            self.file.flush()

    stream = Stream(file)
    with zipfile.ZipFile(given) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:  # type: ignore[call-overload]
        for found in old.namelist():
            made.writestr(found, old.read(found))
    stream.file.close()


@_archive("with-a-comment")
def _with_a_comment(file: Path) -> None:
    with zipfile.ZipFile(file, "a") as zipped:
        zipped.comment = b"a comment"
