"""The git commit that a folder's files are of, asked of git itself."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_PATIENCE_S = 60.0
# A repository's own configuration can name a program that looks for changed files; none is to be run for a look.
_SAFE = ("--no-optional-locks", "-c", "core.fsmonitor=false")
# A hook of another repository sets these, and they would win over the folder.
_OTHERS = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_NAMESPACE", "GIT_OBJECT_DIRECTORY")


@dataclass(frozen=True)
class Revision:
    """A commit, and whether files that git follows were ``dirty``: not as they are in it."""

    commit: str
    dirty: bool


def commit_of(folder: Path) -> str | None:
    """The commit that is checked out around ``folder``; None outside a repository, or without git."""
    return _git(folder, "rev-parse", "--verify", "HEAD")


def revision_of(folder: Path) -> Revision | None:
    """The commit of the files in ``folder``; None where no commit has that folder, or without git.

    Files that git does not follow (weights, results) do not make it dirty.
    """
    # Of a folder that merely lies in somebody's checkout, such as one that is ignored there, the commit says nothing.
    found = _git(folder, "rev-parse", "--verify", "HEAD:./") and commit_of(folder)
    if not found:
        return None
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return None if changed is None else Revision(found, bool(changed))


def _git(folder: Path, *words: str) -> str | None:
    """What git says; None where it is not here, refuses (somebody else's folder), or takes a minute."""
    environment = {name: value for name, value in os.environ.items() if name not in _OTHERS}
    try:
        done = subprocess.run(
            ["git", *_SAFE, "-C", str(folder.resolve()), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_PATIENCE_S,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
