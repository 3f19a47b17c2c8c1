"""What GitHub's and GitLab's REST APIs do not have in common, as far as comments and issues need them.

https://docs.github.com/en/rest, version 2022-11-28; https://docs.gitlab.com/api/rest, version 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

_NONE: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Forge:
    """A server of repositories.

    ``api``, ``token`` and ``repository`` are the variables that CI there sets, or people do; ``public`` is its own
    address.  ``project`` is where a repository is below it, ``named`` what one is called, ``update`` the method that
    changes something, ``safe`` what of a name
    stays as it is in an address.  ``remaining`` and ``reset`` are headers of its rate limit.  ``may`` says what a token
    needs.
    """

    name: str
    public: str
    api: str
    token: str
    repository: str
    project: str
    named: str
    example: str
    update: str
    remaining: str
    reset: str
    may: str
    safe: str
    headers: Mapping[str, str] = field(default_factory=lambda: _NONE)


GITHUB = Forge(
    name="GitHub",
    public="https://api.github.com",
    api="GITHUB_API_URL",
    token="GITHUB_TOKEN",
    repository="GITHUB_REPOSITORY",
    project="repos/{}",
    named=r"[A-Za-z0-9_-]+/(?!\.\.?$)[A-Za-z0-9._-]+",
    example="owner/name, such as example/perception",
    update="PATCH",
    remaining="X-RateLimit-Remaining",
    reset="X-RateLimit-Reset",
    may="in a workflow: permissions: {issues: write, pull-requests: write}",
    safe="/",
    headers=MappingProxyType({"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}),
)
GITLAB = Forge(
    name="GitLab",
    public="https://gitlab.com/api/v4",
    api="CI_API_V4_URL",
    token="EDGEKIT_GITLAB_TOKEN",
    repository="CI_MERGE_REQUEST_PROJECT_ID",
    project="projects/{}",
    named=r"[0-9]+|[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+",
    example="a number, or group/name, such as example/perception",
    update="PUT",
    remaining="RateLimit-Remaining",
    reset="RateLimit-Reset",
    may="a project access token with the scope api and the role Reporter; CI_JOB_TOKEN may not write notes",
    safe="",
    headers=MappingProxyType({"Accept": "application/json"}),
)
