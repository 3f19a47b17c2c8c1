"""What people read on GitHub and GitLab: one comment of a pull or merge request, and the client it goes through."""

from __future__ import annotations

from edgekit.reporting.forges.client import Client, Token
from edgekit.reporting.forges.comments import Comment, put_comment, put_note
from edgekit.reporting.forges.forge import GITHUB, GITLAB, Forge

__all__ = ["GITHUB", "GITLAB", "Client", "Comment", "Forge", "Token", "put_comment", "put_note"]
