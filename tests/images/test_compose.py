"""What docker/compose.yaml promises, read as Docker reads it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

FOLDER = Path(__file__).parents[2] / "docker"
TEXT = (FOLDER / "compose.yaml").read_text()
COMPOSE: dict[str, Any] = YAML(typ="safe").load(TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]


def test_the_services() -> None:
    assert set(SERVICES) == {"node", "recorder", "prometheus", "grafana"}


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_can_do_more_than_it_needs(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "ports" not in service


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_images_of_others_have_a_version_and_listen_on_the_loopback(name: str) -> None:
    service = SERVICES[name]
    assert re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", service["image"])
    assert "127.0.0.1" in str(service.get("environment", "")) + str(service.get("command", ""))


def test_every_file_that_is_mounted_is_there() -> None:
    sources = [volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())]
    files = [source for source in sources if source.startswith("./")]
    assert len(files) == 4
    assert [source for source in files if not (FOLDER / source).is_file()] == []
    named = {source for source in sources if re.fullmatch(r"\w+", source)}
    assert named == set(COMPOSE["volumes"])


def test_prometheus_asks_where_the_node_answers_and_grafana_where_prometheus_does() -> None:
    (asked,) = YAML(typ="safe").load(FOLDER / "prometheus.yml")["scrape_configs"]
    ((address,),) = [entry["targets"] for entry in asked["static_configs"]]
    assert f"metrics_port:={address.split(':')[1]}" in SERVICES["node"]["command"]
    (source,) = YAML(typ="safe").load(FOLDER / "grafana" / "datasource.yaml")["datasources"]
    listens = source["url"].removeprefix("http://")
    assert f"--web.listen-address={listens}" in SERVICES["prometheus"]["command"]


def test_the_licence_of_grafana_is_named() -> None:
    assert "Grafana is AGPL-3.0" in TEXT
