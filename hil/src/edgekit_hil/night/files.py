"""What a night leaves in its folder."""

from __future__ import annotations

from dataclasses import replace

from edgekit.core.artifacts import write_bytes, write_json
from edgekit_hil.night.nightly import NIGHT, Night
from edgekit_hil.night.page import write_page
from edgekit_hil.night.report import NightReport
from edgekit_hil.night.summary import junit, markdown


def write_files(night: Night) -> NightReport:
    """Write page, JUnit, summary, issue texts, and the document last: with it the night is finished.

    Returns the document, with the files in it.

    Raises:
        MissingRequirement: a package of the report is missing.
        OutputError: the folder cannot be written.
    """
    written = {
        "junit.xml": junit(night.report),
        "summary.md": markdown(night.report).encode(),
        **{f"issues/{one.key}.md": one.issue.encode() for one in night.report.regressions},
    }
    for name, content in written.items():
        write_bytes(night.folder / name, content)
    write_page(night.folder / "index.html", night)
    report = replace(night.report, files=("index.html", *written))
    write_json(night.folder / NIGHT, report.to_dict())
    return report
