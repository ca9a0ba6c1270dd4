"""Graphs by name: add, read, ask, remove."""

from __future__ import annotations

import difflib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from tripoint.database import compaction, content, verification, views
from tripoint.database.checking import Checks
from tripoint.database.layout import MARKER, SCHEMA, TABLES, Index, Pack, Part, Snapshot, new_writer, removed
from tripoint.database.parts import Origin, decode, encode, tables_of
from tripoint.database.store import Store
from tripoint.database.verification import DamagedError, read_packed, read_part, read_row
from tripoint.errors import InputError
from tripoint.graph import Graph
from tripoint.io.tables import plain
from tripoint.result import Result

log = logging.getLogger("tripoint")


class GraphDatabase:
    """A folder of Parquet that holds the graphs of many samples.

    Adding is atomic and needs no server: any number of processes may add at once, on one machine or many.

    Parameters
    ----------
    path : str or Path
        A folder, or an address of an object store such as ``s3://bucket/graphs``.  It is made when the first
        sample is added.
    memory : str, optional
        What a query may take, such as ``"4GB"``; by default four fifths of the machine's. More goes to disk.
    check : bool
        Whether files are compared with their hashes before a query reads them, once for each state that they
        are in.  Without it a query is answered sooner the first time, and damage may give wrong numbers; of
        use where reading all of a remote database takes too long.

    Raises
    ------
    InputError
        A path that is no database, or one of a later version of tripoint.

    Notes
    -----
    The layout and the columns are described in docs/database.md.
    """

    def __init__(self, path: str | Path, *, memory: str | None = None, check: bool = True) -> None:
        self.store = Store(path)
        self.memory = memory
        self.check = check
        self.checks = Checks(self.store)
        self._packs: dict[str, Pack | None] = {}  # None where damaged
        self._check_form()

    def __repr__(self) -> str:
        return f"GraphDatabase({str(self.store)!r}: {len(self)} samples)"

    # Reading

    def __len__(self) -> int:
        return len(self.snapshot().where)

    def __iter__(self) -> Iterator[str]:
        return iter(self.snapshot().where)

    def __contains__(self, sample: object) -> bool:
        return isinstance(sample, str) and sample in self._snapshot_of(sample).where

    def __getitem__(self, sample: str) -> Graph:
        """Return the graph of a sample.

        Raises
        ------
        InputError
            There is no such sample, or its files are damaged.
        """
        tables = self._read(sample, _tables)
        row = tables["samples"].to_pylist()[0]
        frames = {name: decode(name, tables[name], row) for name in TABLES[:-1]}
        return Graph(**frames, metadata=json.loads(row["metadata"]))

    def graphs(self, samples: Iterable[str] | None = None) -> Iterator[tuple[str, Graph]]:
        """Go through samples, by default all, one in memory at a time: their names and graphs."""
        for sample in list(self) if samples is None else samples:
            yield sample, self[sample]

    def row(self, sample: str) -> dict[str, Any]:
        """Return the row of ``samples`` of one sample: hashes, figures, configuration, version."""
        return self._read(sample, read_row)

    def sql(self, query: str, parameters: Iterable[Any] | None = None) -> pd.DataFrame:
        """Answer a query on the tables ``samples``, ``nodes``, ``contacts`` and ``junctions``.

        Parameters
        ----------
        query : str
            One statement that reads, in DuckDB's SQL.
        parameters : iterable, optional
            Values for its question marks.

        Returns
        -------
        DataFrame

        Raises
        ------
        InputError
            A query that is wrong or would write.

        Notes
        -----
        Files that are damaged are named in a warning, and the query is answered by all other samples.
        """
        answers = list(self.stream(query, parameters))
        return pa.Table.from_batches(answers[1:], answers[0].schema).to_pandas()

    def stream(
        self, query: str, parameters: Iterable[Any] | None = None, rows: int = 100_000
    ) -> Iterator[pa.RecordBatch]:
        """Answer a query batch by batch, so that the answer may be larger than memory.

        The first batch is empty and tells the columns.
        """
        yield from views.stream(self, query, list(parameters or ()), rows)

    # Writing

    def create(self) -> None:
        """Make the database where there is none; so a place that cannot be written to is refused early."""
        if not self.store.exists(MARKER):
            form = {"format": "tripoint graph database", "schema": SCHEMA, "tables": TABLES}
            self.store.put({MARKER: json.dumps(form).encode()})

    def add(
        self,
        source: Result | Graph,
        name: str | None = None,
        *,
        configuration: Mapping[str, Any] | None = None,
        input_hash: str | None = None,
        key: str | None = None,
        overwrite: bool = False,
    ) -> bool:
        """Add a sample; one that is there already, with the same content, stays as it is.

        Parameters
        ----------
        source : Result or Graph
            Of a result the graph and the figures are kept, not the volumes.
        name : str, optional
            Of the sample; by default its own.
        configuration : mapping, optional
            What it was computed with; by default what a result's summary says.
        input_hash : str, optional
            Of what it was computed from; by default that of a result's voxels where these are on the host.
        key : str, optional
            Hash of all it was computed from (`content.hash_settings`): what has the same key is the same.
        overwrite : bool
            Whether a sample of the same name and other content may be replaced.

        Returns
        -------
        bool
            Whether it was added; False where it was there.

        Raises
        ------
        InputError
            There is a sample of this name with other content.
        OutputError
            The place cannot be written to, or is full.
        """
        graph, summary = (source.graph, source.summary) if isinstance(source, Result) else (source, {})
        graph = graph.to("cpu")
        sample = _check_name(name if name is not None else graph.metadata.get("name"))
        tables, metadata, summary = tables_of(graph, sample), plain(graph.metadata), plain(summary)
        digest = content.hash_graph(tables, metadata, summary)
        found = self._snapshot_of(sample)
        if self._is_there(found, sample, digest, key, overwrite):
            return False
        if configuration is None:
            configuration = summary.get("run", {}).get("configuration", {})
        if input_hash is None and isinstance(source, Result) and source.device == "cpu":
            input_hash = content.hash_voxels(source.sample.phases)
        origin = Origin(key, input_hash, configuration)
        encoded = encode(tables, sample, digest, metadata, summary, origin)
        writer = new_writer(p.writer for p in found.index.loose)
        part = Part(sample, digest, encoded.columns, writer, encoded.hashes)
        self.create()
        self.store.put({part.file(table): encoded.files[table] for table in TABLES[:-1]})
        self.store.put({part.file("samples"): encoded.files["samples"]})  # with its row the sample is there
        self._take_out(sample, found.contents(sample) - {digest})
        return self._settle(part, key, overwrite)

    def has(self, sample: str, key: str) -> bool:
        """Whether a sample is there that was computed from the same, so that there is nothing to do."""
        return sample in self and self.row(sample).get("key") == key

    def remove(self, sample: str) -> None:
        """Take a sample out.

        Raises
        ------
        InputError
            There is no such sample.
        """
        self._find(sample, self._snapshot_of(sample))
        self._take_out(sample)

    def compact(self, grace: float = 3600.0) -> compaction.Compacted:
        """Put the samples' many small files together, and clear away what nobody reads any more.

        Safe beside readers and writers.  See `compaction.compact`.
        """
        self._must_exist()
        return compaction.compact(self, grace)

    def verify(self) -> list[verification.Finding]:
        """Read every file and say which are damaged, missing or left over.  See `verification.verify`."""
        self._must_exist()
        return verification.verify(self)

    # What is there

    def snapshot(self) -> Snapshot:
        """Return the samples that count at this moment."""
        self._must_exist()
        return self._snapshot_of(None)

    def _snapshot_of(self, sample: str | None) -> Snapshot:
        while True:
            index = Index.of(self.store, sample)
            try:
                for name in set(index.packs) - set(self._packs):
                    self._packs[name] = compaction.read_pack(self.store, name, index.packs[name])
            except FileNotFoundError:  # another process has just replaced it
                continue
            packs = tuple(pack for name in index.packs if (pack := self._packs[name]) is not None)
            if sample is not None:  # the others in a pack take no time
                packs = tuple(pack.of(sample) for pack in packs)
            return Snapshot.of(index, packs)

    def _check_form(self) -> None:
        if self.store.exists(MARKER):
            form = json.loads(self.store.read(MARKER))
            if form.get("schema", 0) > SCHEMA:
                message = (
                    f"the database {self.store} has form {form['schema']}, this tripoint knows {SCHEMA}; "
                    "install a later version"
                )
                raise InputError(message)
        elif not self.store.empty():
            message = f"{self.store} is no database of tripoint (it has no {MARKER}); give another path"
            raise InputError(message)

    def _must_exist(self) -> None:
        if not self.store.exists(MARKER):
            message = f"there is no database at {self.store}; add a sample to make one"
            raise InputError(message)

    def _find(self, sample: str, snapshot: Snapshot) -> Part | Pack:
        place = snapshot.where.get(sample)
        if place is None:
            names = list(self)
            near = difflib.get_close_matches(str(sample), names, 3) or names[:3]
            shown = f"those there are: {', '.join(near)}{' …' if len(names) > len(near) else ''}"
            message = f"there is no sample {sample!r} in {self.store}; {shown if names else 'it is empty'}"
            raise InputError(message)
        return place

    # One sample

    def _read(self, sample: str, reading: Callable[[Store, Part | Pack, str], Any]) -> Any:
        """Read something of a sample, once more where it was moved meanwhile."""
        place = self._find(sample, self._snapshot_of(sample))
        while True:
            try:
                return reading(self.store, place, sample)
            except DamagedError as error:
                before, place = place, self._find(sample, self._snapshot_of(sample))
                if place != before:
                    continue
                message = f"{self.store}/{error}; remove the sample {sample!r} and add it again"
                raise InputError(message.replace(": ", " ", 1)) from error

    def _is_there(self, found: Snapshot, sample: str, digest: str, key: str | None, overwrite: bool) -> bool:
        if sample not in found.where:
            return False
        if found.content(sample) == digest:
            return True
        if key is not None and not overwrite and self.row(sample).get("key") == key:
            return True  # computed from the same; only rounding differs
        if not overwrite:
            message = (
                f"there is a sample {sample!r} with other content in {self.store}; give another name, "
                "or overwrite=true to replace it"
            )
            raise InputError(message)
        return False

    def _settle(self, part: Part, key: str | None, overwrite: bool) -> bool:
        """Look again once a sample is written, and return whether it stays.

        Another process may have added the same name meanwhile.  Whoever writes later sees the other, and by
        their names both know which of them stays.
        """
        loose = self._snapshot_of(part.sample).index.loose
        others = [p for p in loose if p.content != part.content]
        if any(p.content == part.content and p.writer > part.writer for p in loose):
            self._discard(part)  # the same content twice: one is enough
            return False
        if others and not overwrite:
            self._discard(part)
            if key is not None and self.has(part.sample, key):
                return False  # computed from the same; only rounding differs
            message = (
                f"another process has just added a sample {part.sample!r} with other content to "
                f"{self.store}; give another name, or overwrite=true to replace it"
            )
            raise InputError(message)
        if any(other.writer > part.writer for other in others):
            self._take_out(part.sample, {part.content})
            return False
        self._take_out(part.sample, {other.content for other in others})
        return True

    def _discard(self, part: Part) -> None:
        for table in reversed(TABLES):  # its row first: then it is not there
            self.store.remove([part.file(table)])

    def _take_out(self, sample: str, contents: set[str] | None = None) -> None:
        """Remove every copy of these contents of a sample, also those that a compaction makes meanwhile."""
        while True:
            snapshot = self._snapshot_of(sample)
            loose = [p for p in snapshot.index.loose if contents is None or p.content in contents]
            packed = [entry for entry in snapshot.packed(sample) if contents is None or entry[1] in contents]
            if not loose and not packed:
                return
            for pack, digest in packed:
                self.store.put({removed(sample, digest, pack.name): b""})
            for part in loose:
                self._discard(part)


def _tables(store: Store, place: Part | Pack, sample: str) -> dict[str, pa.Table]:
    return read_part(store, place) if isinstance(place, Part) else read_packed(store, place, sample)


def _check_name(name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        message = f"the name of the sample is {name!r}; give it one with name=…"
        raise InputError(message)
    if len(name.encode()) > 150:
        message = f"the name of the sample has {len(name.encode())} bytes; use at most 150"
        raise InputError(message)
    return name
