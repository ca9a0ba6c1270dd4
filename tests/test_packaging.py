"""What is installed is what the checkout holds: kernels and settings travel with the package."""

import subprocess
import sys
import zipfile
from importlib import resources
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module

from tripoint.cli.entry import TASKS

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("task", TASKS)
def test_every_task_composes(task):
    with initialize_config_module("tripoint.conf", version_base="1.3"):
        config = compose(task, overrides=["output=out"], return_hydra_config=True)
    assert config.hydra.output_subdir is None


@pytest.mark.parametrize("materials", ["lithium_ion_cathode", "solid_oxide_electrode", "solid_state_cathode"])
def test_every_choice_composes(materials):
    with initialize_config_module("tripoint.conf", version_base="1.3"):
        config = compose("analyze", overrides=[f"materials={materials}", "input=x.tif"])
    assert config.materials.name == materials


def test_settings_are_reached_as_a_package():
    assert (resources.files("tripoint.conf") / "analyze.yaml").is_file()
    assert resources.files("tripoint.kernels") is not None


@pytest.mark.slow
def test_the_wheel_holds_everything(tmp_path):
    """A normal installation has what the editable one has."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(ROOT)], check=True)
    (wheel,) = tmp_path.glob("tripoint-*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    sources = {
        "tripoint/" + path.relative_to(ROOT / "src/tripoint").as_posix()
        for path in (ROOT / "src/tripoint").rglob("*")
        if path.suffix in (".py", ".html", ".css", ".js", ".typed")
    }
    for folder, package in (("conf", "tripoint/conf"), ("kernels", "tripoint/kernels")):
        sources |= {
            f"{package}/{path.relative_to(ROOT / folder).as_posix()}"
            for path in (ROOT / folder).rglob("*")
            if path.suffix in (".py", ".yaml", ".cu", ".cuh")
        }
    assert sources <= held, sorted(sources - held)
