"""What an analysis found, and the folder that holds it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import is_cupy_array

from tripoint import _cuda
from tripoint.errors import DeviceError, InputError
from tripoint.materials import Materials
from tripoint.record import Progress
from tripoint.sample import Sample

if TYPE_CHECKING:
    from tripoint.graph import Graph


@dataclass(eq=False)
class Result:
    """A sample, its graph, and its numbers.

    Parameters
    ----------
    sample : Sample
    graph : Graph
        Tables of regions, contacts and junctions.
    summary : dict
        The numbers of the whole sample, as documented in docs/formats.md.
    regions : (z, y, x) int32
        Region of every voxel, 0 = none.
    junction_map : (z, y, x) uint8 or None
        Voxels that touch a junction: 0 none, 1 dead, 2 unknown, 3 active.

    Notes
    -----
    Volumes and tables are on the device of the run: CuPy arrays and cuDF tables on the GPU.  Saving and the
    report take slabs and planes from there; ``to("cpu")`` is for those who want arrays.
    """

    sample: Sample
    graph: Graph
    summary: dict[str, Any]
    regions: Any
    junction_map: Any = None

    @property
    def device(self) -> str:
        """``"cuda"`` or ``"cpu"``: where volumes and tables live."""
        return self.sample.device

    def to(self, device: str) -> Result:
        """Return the result on the host, ``to("cpu")``: NumPy arrays and pandas tables.

        Raises
        ------
        DeviceError
            A device other than the host, which is where results go and the GPU where they are made.
        """
        if device == self.device:
            return self
        if device != "cpu":
            message = (
                f"a result cannot be moved to '{device}', only to cpu; analyse the sample on that device"
            )
            raise DeviceError(message)
        regions, junction_map = (
            _cuda.transfer.to_host(volume) if is_cupy_array(volume) else volume
            for volume in (self.regions, self.junction_map)
        )
        graph = self.graph.to("cpu")
        return Result(self.sample.to("cpu"), graph, self.summary, regions, junction_map)

    def save(
        self,
        path: str | Path,
        overwrite: bool = False,
        *,
        progress: Progress | None = None,
    ) -> Path:
        """Write everything into a folder, which appears when it is complete and not before.

        Volumes go out slab by slab, also from the GPU, and tables in batches of rows: less than 100 MB beyond
        the result on the host, and the tables where these are on the GPU.

        Parameters
        ----------
        path : str or Path
            The folder; folders above it are made.
        overwrite : bool
            Whether an older result may be replaced. It stays until the new one is complete.
        progress : callable, optional
            Told ``(step, done, total)`` before each file and at the end.

        Returns
        -------
        Path
            The folder, absolute.

        Raises
        ------
        OutputError
            The folder exists, cannot be written, or the disk is full; nothing is left then.
        """
        from tripoint.io.folder import check_output, result_folder

        target = check_output(path, overwrite)
        steps = self._writers()
        with result_folder(target, overwrite) as folder:
            for done, (name, write) in enumerate(steps.items()):
                if progress is not None:
                    progress(name, done, len(steps))
                write(folder / name)
        if progress is not None:
            progress("saved", len(steps), len(steps))
        return target

    def __repr__(self) -> str:
        shape = " × ".join(map(str, self.sample.shape))
        return f"<Result of '{self.sample.name}', {shape} voxels, {len(self.graph.nodes)} regions>"

    def _writers(self) -> dict[str, Callable[[Path], object]]:
        """Return what writes each file of the folder, summary.json last: it marks a complete result."""
        from tripoint import report
        from tripoint.io import graphml, ome_zarr, points, tables
        from tripoint.report import palette

        graph = self.graph.to("cpu")
        labels = {"regions": self.regions, "junctions": self.junction_map}
        labels = {name: volume for name, volume in labels.items() if volume is not None}
        states = enumerate(("dead", "unknown", "active"), start=1)
        # Viewers show the junctions in the report's colours.
        colours = {"junctions": {value: _rgba(palette.JUNCTION[state]) for value, state in states}}
        network = self.summary.get("transport", {}).get("network")
        carriers = {c for phase in self.sample.materials.phases for c in phase.conductivity}
        return {
            "volume.zarr": lambda path: ome_zarr.write(path, self.sample, labels, colours=colours),
            "nodes.parquet": lambda path: tables.write(path, graph.nodes, graph.metadata, carriers),
            "contacts.parquet": lambda path: tables.write(path, graph.contacts, carriers=carriers),
            "junctions.parquet": lambda path: tables.write(path, graph.junctions),
            "graph.graphml": lambda path: graphml.write(path, graph.nodes, graph.contacts),
            **(
                {"critical_contacts.csv": lambda path: points.write_critical_contacts(path, network)}
                if network
                else {}
            ),
            "report.html": lambda path: report.write(self, path),
            "summary.json": lambda path: _write_summary(path, self.summary),
        }


class _SavedResult(Result):
    """A result in its folder; volumes and tables are read when they are first asked for."""

    device = "cpu"  # known without reading

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with _damage_named(folder / "summary.json"):
            self.summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))

    @cached_property
    def sample(self) -> Sample:  # type: ignore[override]  # read late, otherwise the same
        from tripoint.io import ome_zarr

        volume = self.folder / "volume.zarr"
        with _damage_named(volume):
            attributes = ome_zarr.attributes(volume)
            channels = sorted(folder.name for folder in (volume / "channels").glob("*") if folder.is_dir())
            return Sample(
                phases=ome_zarr.read_array(volume),
                spacing=ome_zarr.spacing_of(attributes["ome"]),
                materials=Materials.from_mapping(attributes["tripoint"]["materials"]),
                channels={name: ome_zarr.read_array(volume, f"channels/{name}") for name in channels},
                name=attributes["tripoint"]["name"],
            )

    @cached_property
    def graph(self) -> Graph:  # type: ignore[override]
        from tripoint.graph import Graph
        from tripoint.io import tables

        with _damage_named(self.folder):
            nodes, metadata = tables.read(self.folder / "nodes.parquet")
            contacts, _ = tables.read(self.folder / "contacts.parquet")
            junctions, _ = tables.read(self.folder / "junctions.parquet")
        return Graph(nodes, contacts, junctions, metadata)

    @cached_property
    def regions(self) -> np.ndarray | None:
        return self._labels("regions")

    @cached_property
    def junction_map(self) -> np.ndarray | None:
        return self._labels("junctions")

    def _labels(self, name: str) -> np.ndarray | None:
        from tripoint.io import ome_zarr

        volume = self.folder / "volume.zarr"
        with _damage_named(volume):
            return (
                ome_zarr.read_array(volume, f"labels/{name}") if (volume / "labels" / name).is_dir() else None
            )


def load(path: str | Path) -> Result:
    """Open a result that :meth:`Result.save` wrote; volumes and tables are read when asked for.

    Raises
    ------
    InputError
        Not the folder of a result.
    """
    folder = Path(path).expanduser()
    files = ("summary.json", "volume.zarr", "nodes.parquet", "contacts.parquet", "junctions.parquet")
    missing = [name for name in files if not (folder / name).exists()]
    if missing:
        found = "there is no such folder" if not folder.is_dir() else f"it lacks {', '.join(missing)}"
        message = f"{folder} is not a result of tripoint ({found}); give the output folder of an analysis"
        raise InputError(message)
    return _SavedResult(folder.resolve())


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Say which file of a result is damaged, whatever its library calls that."""
    try:
        yield
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        message = f"{path} is damaged ({reason}); run the analysis again"
        raise InputError(message) from error


def _rgba(colour: str) -> tuple[int, int, int, int]:
    """Turn ``"#d55e00"`` into numbers."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return (red, green, blue, 255)


def _write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    from tripoint.io import tables

    text = json.dumps(tables.plain(summary), indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")
