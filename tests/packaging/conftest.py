from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest.register_assert_rewrite("distributions")

from distributions import SUPPORTED, build, install, interpreter, make_environment  # noqa: E402 - rewritten first


@pytest.fixture(scope="session")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist and the wheel."""
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def sdist(distributions: tuple[Path, Path]) -> Path:
    return distributions[0]


@pytest.fixture(scope="session")
def wheel(distributions: tuple[Path, Path]) -> Path:
    return distributions[1]


@pytest.fixture(scope="session", params=SUPPORTED)
def binaries(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment in which the wheel is installed, for each supported Python."""
    python = interpreter(request.param)
    if python is None:
        told = f"NO PYTHON {request.param} on this machine: the wheel was not tried on it"
        if os.environ.get("GOQUE_TEST_DIST"):
            pytest.fail(f"{told}; a release is tried on all of them")
        pytest.skip(told)
    made = make_environment(python, tmp_path_factory.mktemp("environment") / request.param)
    install(made, wheel)
    return made
