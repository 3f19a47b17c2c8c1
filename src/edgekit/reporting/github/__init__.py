"""What people read on GitHub: one comment of a pull request, and the client that issues and comments go through."""

from __future__ import annotations

from edgekit.reporting.github.client import Client, Token
from edgekit.reporting.github.comments import Comment, put_comment

__all__ = ["Client", "Comment", "Token", "put_comment"]
