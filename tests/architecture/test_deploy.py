"""What is shipped to run it with keeps the promises: a durable Redis, and containers that may do little."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from callbridge.settings import Settings
from callbridge.values import parse_duration
from support.redis_server import RedisServer

ROOT = Path(__file__).parents[2]
OWN = ("receiver", "worker", "console")


def compose() -> dict[str, Any]:
    """Reads the part of YAML that our file keeps to: mappings by two spaces, lists of plain values, one-line lists."""
    root: dict[str, Any] = {}
    open_at: list[tuple[int, Any]] = [(-1, root)]
    lines = [
        line for line in (ROOT / "docker-compose.yml").read_text().splitlines() if line.strip() and "#" not in line
    ]
    for number, line in enumerate(lines):
        depth, text = len(line) - len(line.lstrip()), line.strip()
        while open_at[-1][0] >= depth:
            open_at.pop()
        inside = open_at[-1][1]
        if text.startswith("- "):
            inside.append(text[2:].strip('"'))
            continue
        key, colon, value = text.partition(":")
        assert colon, f"not understood: {line}"
        assert key not in inside, f"twice: {line}"
        if value.strip().startswith("["):
            inside[key] = re.findall(r'"((?:[^"])*)"|([\w./-]+)', value)
            inside[key] = [quoted or plain for quoted, plain in inside[key]]
        elif value.strip():
            inside[key] = value.strip().strip('"')
        else:
            below = lines[number + 1].strip() if number + 1 < len(lines) else ""
            inside[key] = [] if below.startswith("- ") else {}
            open_at.append((depth, inside[key]))
    return root


@pytest.mark.parametrize("service", ["redis", "receiver", "worker"])
def test_a_container_may_do_little(service: str) -> None:
    described = compose()["services"][service]
    assert described["read_only"] == "true"
    assert described["cap_drop"] == ["ALL"]
    assert described["security_opt"] == ["no-new-privileges:true"]
    assert not described["user"].startswith("0")


@pytest.mark.parametrize("service", OWN)
def test_a_role_waits_for_redis_and_takes_its_settings_from_the_environment(service: str) -> None:
    described = compose()["services"][service]
    assert described["build"] == {"context": ".", "dockerfile": "deploy/Dockerfile"}
    assert described["command"] == [service]
    assert described["depends_on"] == {"redis": {"condition": "service_healthy"}}
    assert described["environment"]["CALLBRIDGE_REDIS__URL"].startswith("redis://redis:")
    assert described["env_file"] == ".env"


@pytest.mark.parametrize("service", OWN)
def test_stopping_waits_for_a_request_under_way(service: str) -> None:
    patience = parse_duration(compose()["services"][service]["stop_grace_period"])
    assert patience > Settings().delivery.request_timeout


def test_only_receiver_and_console_are_reachable_and_on_loopback_only() -> None:
    published = {name: service["ports"] for name, service in compose()["services"].items() if "ports" in service}
    assert published == {"receiver": ["127.0.0.1:8080:8080"], "console": ["127.0.0.1:8090:8090"]}


def test_the_data_of_redis_outlives_its_container() -> None:
    described = compose()
    assert "redis:/data" in described["services"]["redis"]["volumes"]
    assert "redis" in described["volumes"]
    assert described["services"]["redis"]["image"].startswith("redis:7")
    assert "./deploy/redis.conf:/etc/redis.conf:ro" in described["services"]["redis"]["volumes"]
    assert described["services"]["redis"]["command"] == ["redis-server", "/etc/redis.conf"]


def test_a_redis_with_the_shipped_configuration_keeps_the_promise(tmp_path: Path) -> None:
    lines = (ROOT / "deploy" / "redis.conf").read_text().splitlines()
    shipped = dict(line.split(None, 1) for line in lines if line and not line.startswith("#"))
    server = RedisServer(
        tmp_path, *(part for name, value in shipped.items() for part in (f"--{name}", value.strip('"')))
    )
    server.stop()
    assert shipped["appendonly"] == "yes"
    assert shipped["appendfsync"] == "always"
    assert shipped["no-appendfsync-on-rewrite"] == "no"
    assert shipped["maxmemory-policy"] == "noeviction"
    assert (tmp_path / "appendonlydir").exists() or (tmp_path / "appendonly.aof").exists()


def test_the_image_does_not_run_as_root() -> None:
    stages = (ROOT / "deploy" / "Dockerfile").read_text().split("\nFROM ")
    assert len(stages) == 3
    (user,) = re.findall(r"(?m)^USER (\S+)$", stages[-1])
    assert user.split(":")[0] == compose()["services"]["worker"]["user"].split(":")[0] == "10001"
    assert stages[-1].index("USER") < stages[-1].index("ENTRYPOINT")


def test_nothing_private_reaches_the_builder_of_the_image() -> None:
    lines = (ROOT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule for rule in rules if rule.startswith("!")} == {"!pyproject.toml", "!README.md", "!LICENSE", "!src"}


@pytest.mark.parametrize("script", [".ci/run"])
def test_a_shell_script_is_executable_and_stops_at_the_first_failure(script: str) -> None:
    path = ROOT / script
    assert path.stat().st_mode & 0o111
    assert "set -euo pipefail" in path.read_text()
    subprocess.run(["/bin/bash", "-n", str(path)], check=True)


def test_make_lists_every_target_with_what_it_does() -> None:
    make = shutil.which("make")
    assert make
    listed = subprocess.run(
        [make, "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    targets = [line.split()[0] for line in listed.stdout.splitlines()]
    assert targets == ["help", "demo", "test", "lint", "bench", "storm", "screenshots", "clean"]
