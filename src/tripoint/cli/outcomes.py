"""What became of each run of a sweep, in files: whichever process or machine it ran on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tripoint.errors import InputError


@dataclass(frozen=True)
class Done:
    """What a task returns of a run that a sweep compares with others.

    Parameters
    ----------
    folder : str
        Of the run.
    objective : float, optional
        What a sweeper such as Optuna's makes small.
    table : str, optional
        Folder for the table of all runs of the sweep.
    """

    folder: str
    objective: float | None = None
    table: str | None = None


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Parameters
    ----------
    number : int
        Of the run in its sweep.
    failure : str, optional
        The sentence, where it failed.
    said : bool
        Whether the user read it.
    done : Done, optional
        What the task returned.
    """

    number: int
    failure: str | None = None
    said: bool = False
    done: Done | None = None


@dataclass(frozen=True)
class Outcomes:
    """A folder that all runs of a sweep reach.

    Parameters
    ----------
    folder : str
    """

    folder: str

    def record(self, outcome: Outcome) -> None:
        """Write how a run ended."""
        path = self._path(outcome.number)
        beside = path.with_name(f".{path.name}")
        beside.write_text(json.dumps(asdict(outcome)))
        os.replace(beside, path)

    def __getitem__(self, number: int) -> Outcome:
        """Return how a run ended."""
        entry = json.loads(self._path(number).read_text())
        done = entry.pop("done")
        return Outcome(**entry, done=None if done is None else Done(**done))

    def __iter__(self) -> Iterator[Outcome]:
        """Go through the runs that ended, in the order of the sweep."""
        ended = (path.stem.rpartition("_")[2] for path in Path(self.folder).glob("outcome_*.json"))
        return (self[number] for number in sorted(map(int, ended)))

    def _path(self, number: int) -> Path:
        return Path(self.folder, f"outcome_{number}.json")

    def claim(self, number: int, config: Any) -> None:
        """Make sure that no two runs of a sweep write to the same place, whatever overwrite says.

        Raises
        ------
        InputError
            Another one does; the same run once more may, when the first has ended.
        """
        try:
            if config.output is None:
                return  # the graph goes into a database, or the task will say that there is no output
            output = str(Path(str(config.output)).resolve())
            content = OmegaConf.to_container(config, resolve=True)
        except OmegaConfBaseException:
            return  # the task will say what is missing
        claim = Path(self.folder, f"claim_{_hash(output)}.json")
        mine = {"number": number, "settings": _hash(json.dumps(content, sort_keys=True, default=str))}
        try:
            with claim.open("x") as file:
                json.dump(mine, file)
            return
        except FileExistsError:
            theirs = json.loads(claim.read_text() or "{}")
        if mine["settings"] == theirs.get("settings") and self._path(theirs["number"]).is_file():
            return
        message = (
            f"two runs of this sweep would write to {output}; tell them apart with a setting that varies, "
            "for example output='out/${stem:${input}}_${particles.neck_ratio}', or with the number of the "
            "run, output='out/${hydra:job.num}'"
        )
        raise InputError(message)


def _hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()
