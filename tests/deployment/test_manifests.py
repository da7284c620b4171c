"""The files of deploy/ are well formed, name what there is, and give a tree the time that it needs to stop."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from click import Context
from deployment import DEPLOY, ROOT, UNIT, commands, dockerfile, manifests, pods, services, unit

from goque.cli.group import root

BINARIES = Path(sys.executable).parent
MARGIN = 5.0  # seconds that a tree may take after its deadline


def parsed(command: list[str]) -> tuple[str, dict[str, Any]]:
    """Read a command line as goque does, without running it; a wrong option is a usage error."""
    name, rest = command[1], command[2:]
    parent = Context(root)
    _name, made, _rest = root.resolve_command(parent, [name])
    assert made is not None
    return name, made.make_context(name, rest, parent=parent).params


@pytest.mark.parametrize("command", [*commands()], ids=" ".join)
def test_each_command_is_one_that_goque_takes(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "5000")
    name, _options = parsed([os.path.expandvars(part) for part in command])
    assert name in root.commands


@pytest.mark.parametrize(
    "manifest", manifests(), ids=lambda made: f"{made['kind']}-{made['metadata']['name']}"
)
def test_each_manifest_fits_its_schema(manifest: dict[str, Any]) -> None:
    if manifest["apiVersion"].startswith("keda.sh/"):
        assert manifest["spec"]["scaleTargetRef"]["name"] in {
            other["metadata"]["name"] for other in manifests() if other["kind"] == "Deployment"
        }  # a resource of KEDA's own has no schema here
    else:
        kubernetes_validate.validate(manifest, "1.31", strict=True)


def test_a_manifest_that_does_not_fit_is_found() -> None:
    wrong = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "x"}, "spec": {"replica": 2}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.31", strict=True)


def test_no_pod_has_more_rights_than_it_needs() -> None:
    for pod in pods():
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] == int(dockerfile()["USER"])
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["resources"]["limits"]["memory"]


def test_a_pod_has_longer_to_stop_than_its_handlers() -> None:
    supervising = [pod for pod in pods() if "supervise" in pod["containers"][0].get("args", ())]
    assert len(supervising) == 2
    for pod in supervising:
        _name, options = parsed(pod["containers"][0]["args"])
        assert pod["terminationGracePeriodSeconds"] > options["shutdown_timeout"] + MARGIN
        assert {"startupProbe", "livenessProbe", "readinessProbe"} <= pod["containers"][0].keys()


def test_a_container_of_compose_has_longer_to_stop_than_its_handlers() -> None:
    for service in services().values():
        if "supervise" in service.get("command", ()):
            deadline = float(service["environment"]["GOQUE_SHUTDOWN_TIMEOUT"])
            assert float(service["stop_grace_period"].removesuffix("s")) > deadline + MARGIN


def test_what_compose_mounts_and_builds_is_there() -> None:
    mounts = [mount for service in services().values() for mount in service.get("volumes", ())]
    files = [mount.partition(":")[0] for mount in mounts if mount.startswith(".")]
    assert len(files) == 5
    assert [file for file in files if not (DEPLOY / file).is_file()] == []
    assert (DEPLOY / services()["migrate"]["build"]["context"]).resolve() == ROOT
    parts = {"postgresql", "prometheus", "grafana", "web", "worker", "scheduler", "dashboard"}
    assert parts <= services().keys()


def test_prometheus_scrapes_each_tree_of_compose() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text("utf-8"))
    (scraped,) = config["scrape_configs"][0]["dns_sd_configs"]
    trees = {name for name, service in services().items() if "supervise" in service.get("command", ())}
    assert set(scraped["names"]) == trees
    for name in trees:
        assert parsed(services()[name]["command"])[1]["http"].endswith(f":{scraped['port']}")


def test_pods_are_scaled_by_a_metric_and_a_type_that_there_are() -> None:
    (scaled,) = (made for made in manifests() if made["kind"] == "ScaledObject")
    query = scaled["spec"]["triggers"][0]["metadata"]["query"]
    metric, task_type = re.fullmatch(r'max\((\w+)\{task_type="(\w+)"\}\)', query).groups()
    assert f"`{metric}`" in (ROOT / "docs" / "observability.md").read_text("utf-8")
    assert f'"{task_type}"' in (ROOT / "examples" / "orders_fastapi" / "shop.py").read_text("utf-8")


def test_the_image_is_not_roots_and_has_no_shell_in_front_of_goque() -> None:
    assert int(dockerfile()["USER"]) > 0
    assert yaml.safe_load(dockerfile()["CMD"])[:2] == ["goque", "supervise"]
    assert "ENTRYPOINT" not in dockerfile()
    subprocess.run([BINARIES / "hadolint", DEPLOY / "Dockerfile"], check=True)


def test_the_image_gets_all_that_it_copies() -> None:
    text = (DEPLOY / "Dockerfile").read_text("utf-8")
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE)
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    sources = [source for line in copied for source in line.split()]
    assert "goque" in sources
    assert [source for source in sources if not (ROOT / source).exists()] == []
    assert [source for source in sources if f"!{source}" not in ignored] == []


def test_the_systemd_unit_is_one(tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("NO systemd-analyze on this machine: the unit was not verified")
    program = unit()["ExecStart"].split()[0]
    here = UNIT.read_text("utf-8").replace(program, str(BINARIES / "goque"))
    (tmp_path / "goque.service").write_text(here, "utf-8")
    done = subprocess.run(
        [verify, "verify", "--man=no", tmp_path / "goque.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    others = re.compile(r"/\S+/(?!goque\.service:)[^/\s]+:\d+: ")  # units of this machine that it reads along
    assert (done.returncode, [line for line in done.stderr.splitlines() if not others.match(line)]) == (0, [])


def test_the_systemd_unit_lets_the_root_stop_its_tree() -> None:
    environment = dict(pair.split("=", 1) for pair in unit()["Environment"].split())
    assert unit()["KillMode"] == "mixed"
    assert float(unit()["TimeoutStopSec"]) > float(environment["GOQUE_SHUTDOWN_TIMEOUT"]) + MARGIN
    assert unit()["RestartPreventExitStatus"] == "2"
    assert environment["GOQUE_RUN_DIR"] == f"/run/{unit()['RuntimeDirectory']}"
