"""``edgekit comment``: one comment of a pull request on GitHub or a merge request on GitLab, kept up to date."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from edgekit.cli.console import JsonOption, print_json, single

FileArgument = Annotated[Path, typer.Argument(help="Markdown, such as edgekit gate --markdown wrote.")]
NumberOption = Annotated[int, typer.Option(help="Of the pull request, issue or merge request.", min=1)]
ForgeOption = Annotated[Literal["github", "gitlab"], typer.Option(help="Where it is.")]
RepoOption = Annotated[
    str,
    typer.Option(
        "--repo",
        help="owner/name, or GitLab's number of the project; default: GITHUB_REPOSITORY, CI_MERGE_REQUEST_PROJECT_ID.",
    ),
]
TopicOption = Annotated[str, typer.Option(help="One comment a topic: give every job its own, such as its target.")]
AuthorOption = Annotated[
    str, typer.Option(help="Whose token it is on GitHub: only this login's comments are changed; GitLab says whose.")
]


def comment(
    file: FileArgument,
    number: NumberOption,
    forge: ForgeOption = "github",
    repo: RepoOption = "",
    topic: TopicOption = "gate",
    author: AuthorOption = "github-actions[bot]",
    as_json: JsonOption = False,
) -> None:
    """Write a Markdown file as a comment into a pull or merge request; the next call changes that comment.

    GitHub: the token comes from GITHUB_TOKEN and may write pull requests; GITHUB_API_URL names another server. GitLab:
    EDGEKIT_GITLAB_TOKEN, of the scope api; CI_API_V4_URL.
    """
    from edgekit.core.errors import InputError, os_reason
    from edgekit.core.textfile import read_text
    from edgekit.reporting.forges import GITHUB, GITLAB, Client, Token, put_comment, put_note

    where = {"github": GITHUB, "gitlab": GITLAB}[forge]
    repo = repo or os.environ.get(where.repository, "")
    if not repo:
        raise InputError(f"--repo: expected {where.example}; or set {where.repository}")
    try:
        text = read_text(file)
    except OSError as error:
        raise InputError(
            f"{file}: cannot be read: {os_reason(error)}; write it with: edgekit gate --markdown"
        ) from error
    client = Client(repo, Token.of_environment(where), forge=where)
    made = (
        put_note(client, number, topic, text) if where is GITLAB else put_comment(client, number, topic, text, author)
    )
    if as_json:
        print_json({"url": made.url, "outcome": made.outcome})
    else:
        print(f"{made.outcome} {made.url}")


command = single(comment)
