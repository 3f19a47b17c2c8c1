"""``edgekit report`` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

from edgekit.bundle import open_bundle
from tests.support.chromium import executable
from tests.support.shell import edgekit, error_of


def saved(bundle: Path, folder: Path) -> list[object]:
    """Options that name the documents of a short run."""
    options: list[object] = []
    for command, words in (("evaluate", ()), ("profile", ("--queries", 100))):
        path = folder / f"{command}.json"
        path.write_text(edgekit(command, bundle, "--json", *words).stdout)
        options += ["--evaluation" if command == "evaluate" else "--profile", path]
    return options


def test_report(tiny_bundle: Path, tmp_path: Path) -> None:
    options = saved(tiny_bundle, tmp_path)
    made = edgekit("report", tiny_bundle, *options)
    assert made.returncode == 0, made.stderr
    page = tiny_bundle.with_name("tiny-cpu.html")
    assert made.stdout == f"wrote {page}\n"
    html = page.read_text().replace("<wbr>", "")  # names may break on a phone
    identity = open_bundle(tiny_bundle).identity  # the page is beside the bundle, which still opens
    verdict = json.loads(edgekit("gate", tiny_bundle, *options, "--json").stdout)["verdict"]
    assert f"<title>{verdict.upper()}: {identity}</title>" in html
    for word in ("latency_p50_ms", "miou", "Provenance", "onnxruntime", "Engine and model", "Race against the control"):
        assert word in html


def test_report_as_json_with_pdf_and_documents(tiny_bundle: Path, tmp_path: Path) -> None:
    executable()
    options = saved(tiny_bundle, tmp_path)
    gated = tmp_path / "gate.json"
    gated.write_text(edgekit("gate", tiny_bundle, *options, "--json").stdout)
    verdict = json.loads(gated.read_text())["verdict"]
    out = tmp_path / "out" / "night.html"
    made = edgekit("report", tiny_bundle, *options, "--gate", gated, "--out", out, "--pdf", "--no-pictures", "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout) == {"report": str(out), "pdf": str(out.with_suffix(".pdf")), "verdict": verdict}
    assert out.with_suffix(".pdf").read_bytes().startswith(b"%PDF-")
    assert "<img" not in out.read_text().split("</style>")[1].split("<script")[0]


def test_report_refuses(tiny_bundle: Path, tmp_path: Path) -> None:
    assert "does not end in .html" in error_of(edgekit("report", tiny_bundle, "--out", tmp_path / "r.txt"), 2)
    inside = error_of(edgekit("report", tiny_bundle, "--out", tiny_bundle / "r.html"), 2)
    assert "inside the bundle" in inside
    absent = error_of(edgekit("report", tiny_bundle, "--gate", tmp_path / "absent.json"), 2)
    assert absent.endswith(f"no such file; write it with: edgekit gate BUNDLE --json > {tmp_path}/absent.json")
    absent = error_of(edgekit("report", tiny_bundle, "--compress", tmp_path / "absent.json"), 2)
    assert absent.endswith("no such file; it is the report.json that edgekit compress writes beside the models")


def test_report_says_which_document_it_was_given(tiny_bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(edgekit("verify", tiny_bundle, "--json").stdout)
    other = error_of(edgekit("report", tiny_bundle, "--evaluation", path), 2)
    assert other == (
        f"{path}: a document of edgekit verify, not of edgekit evaluate; "
        f"write it with: edgekit evaluate BUNDLE --json > {path}"
    )
    path.write_text("{}")
    empty = error_of(edgekit("report", tiny_bundle, "--profile", path), 2)
    assert empty.startswith(f"{path}: no document of edgekit profile (")
    folder = error_of(edgekit("report", tiny_bundle, "--profile", tmp_path), 2)
    assert folder == f"{tmp_path}: cannot be read: is a directory"
