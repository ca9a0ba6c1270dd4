"""Run the steps of the Dockerfile in a clean folder, on a machine without a Docker engine.

    python tests/rehearse_dockerfile.py [FOLDER] [--constraint FILE]

Every stage gets a root folder of its own.  ENV, WORKDIR, COPY and RUN are carried out with the absolute paths
of the image moved below that root; HEALTHCHECK, ENTRYPOINT and CMD are tried at the end as in the
image.  What needs the base image itself is not run but named: installing its packages (looked up instead,
where there is apt) and adding a user.  The Python is that of this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMAGE_FOLDERS = ("/opt", "/src", "/cache", "/data", "/root")
NEEDS_BASE_IMAGE = ("apt-get", "useradd", "rm -rf /var/lib/apt")


def main() -> None:
    """Rehearse every stage and say what was run and what was not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="a new folder; by default a temporary one")
    parser.add_argument("--constraint", type=Path, help="pip's constraints, to spare gigabytes of CUDA")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="tripoint-image-"))
    environment = {
        **os.environ,
        "PIP_CONSTRAINT": str(options.constraint.resolve()) if options.constraint else "",
    }
    roots: dict[str, Path] = {}
    stage = Stage(folder / "none", environment, roots)
    for instruction, value in instructions(ROOT / "Dockerfile"):
        print(f"{instruction} {value}", flush=True)
        if instruction == "FROM":
            name = value.rpartition(" AS ")[2] if " AS " in value else f"stage{len(roots)}"
            stage = Stage(folder / name, environment, roots)
            roots[name] = stage.root
        else:
            stage.do(instruction, value)
    stage.start()


def instructions(dockerfile: Path) -> list[tuple[str, str]]:
    """Return the instructions of a Dockerfile with their values, lines joined and comments left out."""
    lines = [line for line in dockerfile.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    return [
        (line.partition(" ")[0], line.partition(" ")[2].strip())
        for line in joined.splitlines()
        if line.strip()
    ]


class Stage:
    """A stage of the image, below a folder that stands for its root."""

    def __init__(self, root: Path, environment: dict[str, str], roots: dict[str, Path]) -> None:
        self.root, self.environment, self.roots = root, dict(environment), roots
        self.place, self.entry, self.health = root, [], []

    def do(self, instruction: str, value: str) -> None:
        """Carry out one instruction."""
        if instruction == "ENV":
            for pair in shlex.split(value):
                name, _, text = pair.partition("=")
                moved = self.moved(text).replace("$PATH", self.environment["PATH"])
                self.environment[name] = moved
        elif instruction == "WORKDIR":
            self.place = Path(self.moved(value))
            self.place.mkdir(parents=True, exist_ok=True)
        elif instruction == "COPY":
            self.copy(shlex.split(value))
        elif instruction == "RUN":
            self.run(re.sub(r"--mount=\S+\s+", "", value))
        elif instruction == "USER":
            if value.partition(":")[0] in ("0", "root"):
                sys.exit("the image would run as root")
        elif instruction == "HEALTHCHECK":
            self.health = json.loads(value.partition("CMD ")[2])
        elif instruction == "ENTRYPOINT":
            self.entry = json.loads(value)
        elif instruction == "CMD":
            self.entry += json.loads(value)
        else:
            sys.exit(f"the rehearsal does not know {instruction}")

    def moved(self, text: str) -> str:
        """Return text with the image's folders moved below the stage's root."""
        return re.sub(rf"(?<![\w.\"/])({'|'.join(IMAGE_FOLDERS)})(?=[/\s:\"]|$)", rf"{self.root}\1", text)

    def copy(self, words: list[str]) -> None:
        source_root = ROOT
        if words[0].startswith("--from="):
            source_root = self.roots[words.pop(0).partition("=")[2]]
        *sources, target = words
        goal = Path(self.moved(target)) if target.startswith("/") else self.place / target
        for source in sources:
            origin = source_root / source.lstrip("/")
            if origin.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
                shutil.copytree(origin, goal, dirs_exist_ok=True, symlinks=True, ignore=ignored)
            else:
                goal.mkdir(parents=True, exist_ok=True)
                shutil.copy2(origin, goal)
        if source_root != ROOT:
            self.relocate(goal, source_root)

    def relocate(self, folder: Path, before: Path) -> None:
        """Let the scripts of a virtual environment point to where it now lies; in the image it stays."""
        for script in (folder / "bin").iterdir() if (folder / "bin").is_dir() else ():
            if script.is_file() and not script.is_symlink():
                text = script.read_bytes()
                script.write_bytes(text.replace(str(before).encode(), str(self.root).encode()))

    def run(self, command: str) -> None:
        steps = [step.strip() for step in command.split("&&")]
        for step in steps:
            if step.startswith(NEEDS_BASE_IMAGE):
                print(f"    not run, needs the base image: {step}")
                if " install " in step and shutil.which("apt-cache"):
                    packages = [word for word in step.split()[2:] if not word.startswith("-")]
                    subprocess.run(["apt-cache", "show", "--no-all-versions", *packages],
                                   check=True, stdout=subprocess.DEVNULL)  # fmt: skip
                continue
            # mkdir of a folder that stands at the root of the image
            step = self.moved(step).replace("mkdir ", "mkdir --parents ")  # noqa: PLW2901
            print(f"    {step}", flush=True)
            self.place.mkdir(parents=True, exist_ok=True)
            subprocess.run(step, shell=True, check=True, cwd=self.place, env=self.environment)

    def start(self) -> None:
        """Run the health check and the entry point as the container would."""
        for command in (self.health, self.entry):
            print(f"    {shlex.join(command)}", flush=True)
            subprocess.run(command, check=True, cwd=self.place, env=self.environment)


if __name__ == "__main__":
    main()
