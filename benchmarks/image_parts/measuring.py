"""What an image takes, what it may do, and how long its node needs."""

from __future__ import annotations

import io
import json
import tarfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edgekit.images import Running

HERE = Path(__file__).parent
MB = 1e6
INSIDE = """
import importlib.util, json, os, pathlib, sysconfig
def writable(folder):
    try:
        probe = pathlib.Path(folder, "probe"); probe.touch(); probe.unlink(); return True
    except OSError:
        return False
def size(path):
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file() and not p.is_symlink()]
    return sum(p.lstat().st_size for p in files)
site = pathlib.Path(sysconfig.get_paths()["purelib"])
inside = size(site)
print(json.dumps({
    "uid": os.getuid(),
    "read_only": bool(os.statvfs("/").f_flag & os.ST_RDONLY),
    "writable": [f for f in ("/", "/opt/edgekit", "/bundle", "/usr", "/var", "/tmp") if writable(f)],
    "torch": importlib.util.find_spec("torch") is not None,
    "packages": {p.name: size(p) for p in site.iterdir()},
    "beside": size(site.parents[2]) - inside,
    "bundle": size(pathlib.Path("/bundle")),
}))
"""
TOGETHER = {"numpy.libs": "numpy", "scipy.libs": "scipy", "opencv_python_headless.libs": "cv2"}


class _Stream(io.RawIOBase):
    """Parts of a download as a file to read once."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts, self._rest = parts, b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            part = next(self._parts, None)
            if part is None:
                return 0
            self._rest = part
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def compressed_bytes(image: Any) -> int:
    """Bytes of all layers with gzip, as a registry keeps them and a pull moves them."""
    total = 0
    stream = io.BufferedReader(_Stream(iter(image.save(chunk_size=2**20))), 2**20)
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isfile() else None
            if content is None or member.name.endswith(".json") or member.name in ("repositories", "oci-layout"):
                continue
            packer = zlib.compressobj(6, zlib.DEFLATED, 31)
            while part := content.read(2**20):
                total += len(packer.compress(part))
            total += len(packer.flush())
    return total


@contextmanager
def container(client: Any, running: Running, **more: Any) -> Iterator[Any]:
    """A container as edgekit runs it, but for what ``more`` says; removed at the end."""
    made = client.containers.create(running.tag, **(running.options() | more))
    try:
        yield made
    finally:
        made.remove(force=True)


def ended(made: Any) -> int:
    """Start it, and wait until it ended; the exit code."""
    made.start()
    while True:
        made.reload()
        if made.attrs["State"]["Status"] not in ("created", "initialized", "running", "stopping"):
            return int(made.attrs["State"]["ExitCode"])
        time.sleep(0.05)


def sizes(client: Any, tag: str) -> dict[str, Any]:
    """Megabytes on the disk and as pulled, and what takes them, by layer of Debian, package and bundle."""
    image = client.images.get(tag)
    facts = looked_inside(client, tag)
    packages: dict[str, float] = {}
    for name, size in facts["packages"].items():
        kept = "ROS 2's wheels" if name.startswith("ros_") else TOGETHER.get(name, name)
        packages[kept] = packages.get(kept, 0.0) + size / MB
    large = {name: round(size, 1) for name, size in sorted(packages.items(), key=lambda one: -one[1]) if size >= 4}
    layers = [one["Size"] / MB for one in reversed(image.history()) if one["Size"] > 1e5]
    whole = image.attrs["Size"] / MB
    takes = {"base": round(layers[0], 1), "Debian's Python": round(layers[1], 1), **large}
    takes["beside the packages"] = round(facts["beside"] / MB, 1)
    takes["bundle"] = round(facts["bundle"] / MB, 1)
    takes["all else"] = round(whole - sum(takes.values()), 1)
    return {"disk_mb": round(whole, 1), "pulled_mb": round(compressed_bytes(image) / MB, 1), "takes_mb": takes}


def looked_inside(client: Any, tag: str) -> dict[str, Any]:
    """Who it runs as, where it can write, and what lies in it."""
    with container(client, Running(tag, ("-c", INSIDE)), entrypoint=["python3"]) as made:
        code = ended(made)
        text = made.logs(stdout=True, stderr=False).decode()
    assert code == 0, text
    found: dict[str, Any] = json.loads(text)
    return found


def properties(client: Any, tag: str) -> dict[str, Any]:
    """What was promised of an image, looked at from inside; and its health check, run as it is written there."""
    facts = looked_inside(client, tag)
    with container(client, Running(tag)) as made:  # podman shows it of containers, not of images
        check = made.attrs["Config"].get("Healthcheck") or {}
    words = list(check.get("Test", ()))[1:]
    code, said = None, ""
    if words:
        with container(client, Running(tag, words[1:]), entrypoint=words[:1]) as made:
            begin = time.monotonic()
            code, said = ended(made), made.logs().decode().strip()
            seconds = time.monotonic() - begin
    return {
        "uid": facts["uid"],
        "read_only": facts["read_only"],
        "writable": facts["writable"],
        "torch": facts["torch"],
        "health_check": words,
        "health_check_exit_code": code,
        "health_check_said": said,
        "health_check_s": round(seconds, 2) if words else None,
    }


def first_result_s(client: Any, tag: str) -> float:
    """Seconds from the start of the node's container to the first result, which another container hears.

    That one sends frames before the node starts, so nothing waits for a camera.
    """
    environment = ("ROS_DOMAIN_ID=71", "ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST")
    peer = Running(tag, ("/first_result.py",), network="host", ipc="host", environment=environment)
    node = Running(tag, (), network="host", ipc="host", environment=environment)
    volumes = {str(HERE / "first_result.py"): {"bind": "/first_result.py", "mode": "ro"}}
    with (
        container(client, peer, entrypoint=["python3"], volumes=volumes) as camera,
        container(client, node) as started,
    ):
        camera.start()
        lines = _lines(camera.logs(stream=True, follow=True))
        _after("sending", lines)
        begin = time.time()
        started.start()
        when = _after("first ", lines)
        started.stop(timeout=5)
    return float(when) - begin


def _after(word: str, lines: Iterator[str]) -> str:
    """What follows the word on the first line that begins with it; the middleware says things of its own."""
    return next(line.removeprefix(word) for line in lines if line.startswith(word))


def _lines(stream: Iterator[bytes]) -> Iterator[str]:
    rest = ""
    for part in stream:
        *whole, rest = (rest + part.decode()).split("\n")
        yield from filter(None, whole)
    raise RuntimeError(f"the container ended without a result: {rest}")
