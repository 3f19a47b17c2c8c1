"""Three of the points of ``benchmarks/kill_resume.py``; all twenty take minutes."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import kill_resume
import pytest


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="CPU seconds of other processes come from /proc")
def test_a_chain_that_is_killed_three_times_ends_as_if_it_was_not(tmp_path: Path) -> None:
    source = tmp_path / "source"
    kill_resume.write_chain(source)
    whole, broken = (Path(shutil.copytree(source, tmp_path / name)) for name in ("whole", "broken"))
    expected, cpu_s = kill_resume.undisturbed(whole)
    assert sum(name.startswith("state_dict.pt: ") for name in expected) == 11
    # Exporting, and twice in what is left then: what was finished shortens the rest.
    found = kill_resume.killed(broken, (0.15, 0.45, 0.3), cpu_s, expected)
    assert len(found.kills) == 3
    assert (found.repeated, found.differs) == ((), ())
    assert not found.kills[0].finished


def test_what_is_otherwise_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage that is made again, and a file that differs: the chain is a stand-in."""
    made = iter([{"export-1": (1, 1)}, {"export-1": (2, 2)}])
    monkeypatch.setattr(kill_resume, "_killed", lambda folder, cpu_s: False)
    monkeypatch.setattr(kill_resume, "_finish", lambda folder: None)
    monkeypatch.setattr(kill_resume, "stages", lambda folder: next(made))
    monkeypatch.setattr(kill_resume, "result", lambda folder: {"a": 1, "b": 2})
    found = kill_resume.killed(tmp_path, (0.5,), 10.0, {"a": 1, "b": 3, "c": 4})
    assert [kill.finished for kill in found.kills] == [("export-1",)]
    assert (found.repeated, found.differs) == (("export-1",), ("b", "c"))
    assert not found.holds
