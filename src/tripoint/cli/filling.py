"""What a task adds to a graph database, and whether that is there already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tripoint.database import GraphDatabase
from tripoint.database.content import hash_input, hash_settings
from tripoint.errors import InputError
from tripoint.io.formats import split_inside
from tripoint.result import Result

#: Settings that say where and how, not what is computed.
_NOT_CONTENT = ("output", "overwrite", "name", "database", "jobs", "device", "device_memory")


@dataclass(frozen=True)
class Target:
    """The place of a sample in a database.

    Parameters
    ----------
    database : GraphDatabase
    sample : str
        Its name.
    configuration : mapping
        All that it is computed with.
    input_hash : str or None
        Hash of the files that it is computed from.
    key : str
        Hash of both, and of the version of tripoint.
    overwrite : bool
        Whether a sample of the same name may be replaced.
    """

    database: GraphDatabase
    sample: str
    configuration: Mapping[str, Any]
    input_hash: str | None
    key: str
    overwrite: bool

    @classmethod
    def of(
        cls, settings: Mapping[str, Any], sample: str, inputs: Iterable[Any] = (), paths: Iterable[str] = ()
    ) -> Target | None:
        """Return where the sample of some settings goes, None where these name no database.

        Parameters
        ----------
        settings : mapping
            With ``database`` and ``overwrite``, and all that decides what is computed.
        inputs : iterable
            Files that are read; what is None, or no file, is left out.
        paths : iterable of str
            Settings that are paths of these, and so do not count themselves.

        Raises
        ------
        InputError
            There is a sample of this name that was computed from something else, or by another version.
        OutputError
            The place cannot be written to.
        """
        if settings["database"] is None:
            return None
        database = GraphDatabase(str(settings["database"]))
        database.create()
        configuration = {name: value for name, value in settings.items() if name not in _NOT_CONTENT}
        input_hash = _hash_of_all(inputs)
        decisive = {name: value for name, value in configuration.items() if name not in paths}
        key = hash_settings(decisive, input_hash)
        target = cls(database, sample, configuration, input_hash, key, bool(settings["overwrite"]))
        target._refuse_another()
        return target

    @property
    def filled(self) -> bool:
        """Whether the sample is there, computed from the same, so that there is nothing to do."""
        return not self.overwrite and self.database.has(self.sample, self.key)

    def add(self, result: Result) -> None:
        """Add the graph and the figures of a result."""
        self.database.add(
            result,
            self.sample,
            configuration=self.configuration,
            input_hash=self.input_hash,
            key=self.key,
            overwrite=self.overwrite,
        )

    def _refuse_another(self) -> None:
        """Say early that the name is taken, before hours of work."""
        if self.overwrite or self.sample not in self.database or self.database.has(self.sample, self.key):
            return
        message = (
            f"there is a sample {self.sample!r} in {self.database.store} "
            "from other input, settings or version; tell them apart with name=…, "
            "such as name='${stem:${input}}_${particles.neck_ratio}', or set overwrite=true"
        )
        raise InputError(message)


def _hash_of_all(inputs: Iterable[Any]) -> str | None:
    """Return the hash of one input, or of several together; None where there is none."""
    paths = [str(path) for path in inputs if path is not None]
    hashes = [hash_input(path) for path in paths if split_inside(Path(path).expanduser())[0].exists()]
    if not hashes:
        return None
    return hashes[0] if len(hashes) == 1 else f"files:{hash_settings({'inputs': hashes})}"
