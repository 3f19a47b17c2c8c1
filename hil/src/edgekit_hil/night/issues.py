"""``edgekit hil issues``: the regressions of a night's document, as issues on GitHub."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from edgekit.cli.console import JsonOption, print_json
from edgekit.core.errors import InputError, os_reason
from edgekit.core.mistakes import words
from edgekit.core.textfile import read_text
from edgekit_hil.night.github import Issue, Synced, Tracker
from edgekit_hil.night.report import NightReport, Regression

NightArgument = Annotated[
    list[Path], typer.Argument(help="The night.json that edgekit hil night wrote; several: of one night's boards.")
]
RepoOption = Annotated[
    str, typer.Option("--repo", envvar="GITHUB_REPOSITORY", help="owner/name; default: GITHUB_REPOSITORY.")
]


def issues(night: NightArgument, repo: RepoOption, as_json: JsonOption = False) -> None:
    """Open one issue for each regression of a night, keep it up to date, close it when the bundle passes again.

    The token comes from GITHUB_TOKEN and may write issues; GITHUB_API_URL names another server. An issue stays open
    until the bundle passes on every board that it is about; a board that could not judge it closes nothing.
    """
    from edgekit.reporting.forges import Client, Token

    documents = [_read(path) for path in night]
    found = _issues([one for document in documents for one in document.regressions])
    results = [one for document in documents for one in document.results]
    # Of a bundle that fails still it is not known by which of its limits: the night names one of several together.
    green = {f"{one.board}/{one.bundle}" for one in results if one.standing == "pass"}
    synced = Tracker(Client(repo, Token.of_environment())).sync(found, green)
    if as_json:
        print_json({"opened": synced.opened, "updated": synced.updated, "closed": synced.closed})
    else:
        print(f"{', '.join(dict.fromkeys(one.night for one in documents))}: {_said(synced)}")


def _issues(regressions: Sequence[Regression]) -> list[Issue]:
    """One issue a key: what several boards found in nights of their own is one regression."""
    by_key: dict[str, list[Regression]] = {}
    for one in regressions:
        by_key.setdefault(one.key, []).append(one)
    return [
        Issue(
            same[0].title,
            "\n\n---\n\n".join(dict.fromkeys(one.issue for one in same)),
            key,
            tuple(dict.fromkeys(f"{board}/{one.bundle}" for one in same for board in one.boards)),
        )
        for key, same in by_key.items()
    ]


def _read(path: Path) -> NightReport:
    """A night's document.

    Raises:
        InputError: there is no such file, or it is none of a night.
    """
    try:
        return TypeAdapter(NightReport).validate_json(read_text(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; write it with: edgekit hil night PLAN") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {os_reason(error)}") from error
    except (ValidationError, UnicodeDecodeError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        what = f"{'.'.join(map(str, first['loc']))}: {words(first)}" if first else "no text"
        raise InputError(f"{path}: no document of edgekit hil night ({what})") from error


def _said(synced: Synced) -> str:
    parts = [
        f"{what} {', '.join(f'#{number}' for number in numbers)}"
        for what, numbers in (("opened", synced.opened), ("updated", synced.updated), ("closed", synced.closed))
        if numbers
    ]
    return "; ".join(parts) or "no issue to change"
