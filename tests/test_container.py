"""The Dockerfile and the compose file, as far as they can be tested without a Docker engine."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from rehearse_dockerfile import instructions

ROOT = Path(__file__).resolve().parents[1]
STEPS = instructions(ROOT / "Dockerfile")


def values(name):
    return [value for instruction, value in STEPS if instruction == name]


def test_the_dockerfile_is_clean_by_hadolint():
    beside = Path(sys.executable).with_name("hadolint")
    command = str(beside) if beside.exists() else shutil.which("hadolint")
    if command is None:
        pytest.skip("hadolint is not installed: the Dockerfile is not linted")
    done = subprocess.run([command, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_has_two_stages_on_a_cuda_13_runtime_image_of_one_version():
    images = [value.split()[0] for value in values("FROM")]
    assert len(images) == 2
    assert len(set(images)) == 1
    assert images[0].startswith("nvidia/cuda:13.")
    assert "-runtime-" in images[0]


def test_it_installs_extras_that_exist():
    (install,) = [value for value in values("RUN") if "pip install" in value]
    extras = install.partition(".[")[2].partition("]")[0].split(",")
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras == ["cuda", "learn"]
    assert set(extras) <= set(known)


def test_it_runs_as_a_user_says_that_it_is_healthy_and_starts_tripoint():
    assert values("USER") == ["10001"]
    assert values("HEALTHCHECK")[0].endswith('CMD ["tripoint", "--version"]')
    assert values("ENTRYPOINT") == ['["tripoint"]']


def test_what_it_copies_is_there_and_not_ignored():
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {word for value in values("COPY") if "--from" not in value for word in value.split()[:-1]}
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)


def test_compose_gives_one_gpu_and_a_data_mount():
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["tripoint"]
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    assert any(volume.endswith(":/data") for volume in service["volumes"])
