"""What is in deploy/, and which commands it starts."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from honcho.environ import parse_procfile

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
PROCFILE = ROOT / "Procfile"
UNIT = DEPLOY / "goque.service"


def manifests() -> list[dict[str, Any]]:
    """Return each Kubernetes object, without what is for kustomize alone."""
    files = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    documents = [document for file in files for document in yaml.safe_load_all(file.read_text("utf-8"))]
    return [document for document in documents if document["kind"] != "Kustomization"]


def pods() -> list[dict[str, Any]]:
    """Return the spec of each pod."""
    return [made["spec"]["template"]["spec"] for made in manifests() if "template" in made.get("spec", {})]


def services() -> dict[str, dict[str, Any]]:
    """Return the services of the compose file."""
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))["services"]


def unit() -> dict[str, str]:
    """Return the settings of the systemd unit, the last of each name."""
    lines = UNIT.read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def dockerfile() -> dict[str, str]:
    """Return the last of each instruction of the Dockerfile."""
    text = (DEPLOY / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split(" ", 1) for line in lines)


def commands() -> Iterator[list[str]]:
    """Yield every command line that starts something of goque's."""
    lines = [shlex.split(line) for line in parse_procfile(PROCFILE.read_text("utf-8")).processes.values()]
    lines += [service["command"] for service in services().values() if "command" in service]
    lines += [
        container.get("command") or container["args"] for pod in pods() for container in pod["containers"]
    ]
    lines += [shlex.split(unit()["ExecStart"]), yaml.safe_load(dockerfile()["CMD"])]
    yield from (line for line in lines if Path(line[0]).name == "goque")
