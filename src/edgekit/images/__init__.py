"""Container images: what goes into one, building and running it through a daemon that speaks Docker's interface.

files     where Dockerfiles, pins and the rest of docker/ are
wheel     edgekit's own wheel, from what is installed
context   all that a build may read, as one tar file
daemon    the connection, and its errors in words
building  an image from a context
running   a container as docs/images.md asks for: no root, nothing writable but /tmp
smoke     what an image's health check runs
"""

from __future__ import annotations

from edgekit.images.building import Built as Built
from edgekit.images.building import build as build
from edgekit.images.files import KINDS as KINDS
from edgekit.images.running import Ran as Ran
from edgekit.images.running import Running as Running
from edgekit.images.running import start as start
