"""A labgrid coordinator and an exporter with a few boards, as processes on the loopback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from labgrid.remote.common import Place, ResourceMatch
from labgrid.remote.generated import labgrid_coordinator_pb2 as messages
from labgrid.remote.generated.labgrid_coordinator_pb2_grpc import CoordinatorStub
from labgrid.util import yaml

from tests.support.waiting import PATIENCE_S, until

BIN = Path(sys.executable).parent
AGAIN = 100
"""With this an exporter ends when its coordinator is gone; its service starts it again."""


@dataclass
class Lab:
    """Places by name with their tags; each matches one network service that the exporter offers."""

    folder: Path
    places: Mapping[str, Mapping[str, str]]
    port: int = 0
    _coordinator: subprocess.Popen[str] | None = None
    _exporter: subprocess.Popen[bytes] | None = None
    _channel: grpc.Channel | None = None
    _ended: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the coordinator; on the port it had, after the first time."""
        if not self.port:
            _write_places(self.folder / "places.yaml", self.places)
        with (self.folder / "coordinator.log").open("a") as log:
            self._coordinator = subprocess.Popen(
                [BIN / "labgrid-coordinator", "-l", self.address],
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._coordinator.stdout is not None
        line = next(line for line in self._coordinator.stdout if line.startswith("listening on"))
        self.port = int(line.rpartition(":")[2])
        # What it prints later is read, or its pipe would fill up.
        threading.Thread(target=self._coordinator.stdout.read, daemon=True).start()

    def kill(self) -> None:
        """SIGKILL to the coordinator."""
        assert self._coordinator is not None
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        self._coordinator.kill()
        self._coordinator.wait(PATIENCE_S)

    def export(self) -> None:
        """Start the exporter, and again whenever its coordinator went away: its systemd service does so."""
        resources = {name: {"NetworkService": {"address": "127.0.0.1", "username": "root"}} for name in self.places}
        (self.folder / "exporter.yaml").write_text(yaml.dump(resources))

        def keep() -> None:
            while not self._ended.is_set():
                with (self.folder / "exporter.log").open("ab") as log:
                    words = [BIN / "labgrid-exporter", "-c", self.address, "-n", "rack", self.folder / "exporter.yaml"]
                    self._exporter = subprocess.Popen(words, stdout=log, stderr=log)
                    self._exporter.wait()
                self._ended.wait(0.2)

        threading.Thread(target=keep, daemon=True).start()

    def client(self, *words: str, user: str = "somebody") -> str:
        """What ``labgrid-client`` prints."""
        environment = os.environ | {"LG_USERNAME": user, "LG_HOSTNAME": "desk"}
        done = subprocess.run(
            [BIN / "labgrid-client", "-x", self.address, *words],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def holders(self) -> dict[str, str]:
        """Who has which place, ``host/user``."""
        answer = self._stub().GetPlaces(messages.GetPlacesRequest())
        return {place.name: place.acquired for place in answer.places if place.acquired}

    def reservations(self) -> dict[str, str]:
        """Tokens and their owners."""
        answer = self._stub().GetReservations(messages.GetReservationsRequest())
        return {one.token: one.owner for one in answer.reservations}

    def _stub(self) -> CoordinatorStub:
        if self._channel is None:
            self._channel = grpc.insecure_channel(self.address)
        return CoordinatorStub(self._channel)

    def stop(self) -> None:
        self._ended.set()
        if self._channel is not None:
            self._channel.close()
        for process in (self._exporter, self._coordinator):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(PATIENCE_S)


def _write_places(path: Path, places: Mapping[str, Mapping[str, str]]) -> None:
    made = {}
    for name, tags in places.items():
        place = Place(name, tags=dict(tags), matches=[ResourceMatch("rack", name, "NetworkService")])
        made[name] = place.asdict()
    path.write_text(yaml.dump(made))


@contextmanager
def lab(folder: Path, places: Mapping[str, Mapping[str, str]], export: bool = True) -> Iterator[Lab]:
    """A running lab; ``export=False``: without an exporter."""
    folder.mkdir(parents=True, exist_ok=True)
    running = Lab(folder, places)
    running.start()
    try:
        if export:
            running.export()
            until(
                lambda: running.client("resources").count("NetworkService") == len(places), "that boards are exported"
            )
        yield running
    finally:
        running.stop()
