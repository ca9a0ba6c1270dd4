"""Which files a database has, and which of them count.

::

    tripoint.json                             what this folder is, and the version of its form
    <table>/sample=<name>/<part>.parquet      one sample; <part> = <content>-<columns>-<writer>
    <table>/packs/pack-<time>-<writer>.parquet      many samples, as `compact` puts them together
    samples/sample=<name>/<part>-<hashes>.parquet
    samples/packs/pack-<time>-<writer>.<hash>.parquet
    samples/sample=<name>/<content>.<pack>.removed

``<table>`` is nodes, contacts, junctions or samples.  The file in ``samples/`` is written last, and what it
does not name is not there: a single file makes a sample visible, and a single file replaces hundreds of small
parts by a pack.  ``….removed`` takes one sample out of one pack.  Its name holds what all its files are
checked by: 16 digits of the SHA-256 of each table of a sample; of a pack that of the table of samples, which
tells those of the others.  Names without hashes are those of earlier databases.

Every writer's files have names of their own, so nothing is overwritten, and nobody who tidies up takes away
what somebody else has just written.  Where two processes did the same work, one of the copies counts.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote

from tripoint.database.store import File, Store

TABLES = ("nodes", "contacts", "junctions", "samples")
MARKER = "tripoint.json"
SCHEMA = 1

HASH = 16  # digits of a SHA-256 in a name: damage that they do not show is one in 2⁶⁴

_LOOSE = re.compile(
    r"samples/sample=([^/]*)/([0-9a-f]{20})-([0-9a-f]{8})-([0-9a-f]{12})(?:-([0-9a-f]{64}))?\.parquet"
)
_REMOVED = re.compile(r"samples/sample=([^/]*)/([0-9a-f]{20})\.(pack-[^/]+)\.removed")
_PACK = re.compile(r"samples/packs/(pack-[^/.]+)(?:\.([0-9a-f]{16}))?\.parquet")


@dataclass(frozen=True)
class Part:
    """The files of one sample.

    Parameters
    ----------
    sample : str
        Its name.
    content : str
        Hash of its content.
    columns : str
        Hash of the columns of all its tables; parts with the same one are read together.
    writer : str
        12 digits of whoever wrote it, see `new_writer`.  Of several contents the one with the highest counts.
    hashes : str
        16 digits of the SHA-256 of the file of each table, in their order.
    """

    sample: str
    content: str
    columns: str
    writer: str
    hashes: str = ""

    def file(self, table: str) -> str:
        """Name of the file that holds this table."""
        hashes = f"-{self.hashes}" if table == "samples" and self.hashes else ""
        return f"{table}/{folder(self.sample)}/{self.content}-{self.columns}-{self.writer}{hashes}.parquet"

    def hash(self, table: str) -> str:
        """First digits of the SHA-256 of the file that holds this table; none where they are not known."""
        start = TABLES.index(table) * HASH
        return self.hashes[start : start + HASH]


@dataclass(frozen=True)
class Pack:
    """Many samples in a file per table.

    Parameters
    ----------
    name : str
    contents : dict of str to str
        Content of each sample in it.
    replaces : tuple of str
        Packs whose samples are in this one.
    parts : dict
        Bytes and SHA-256 of the file of each table but ``samples``.
    row : str
        16 digits of the SHA-256 of the file of ``samples``.
    """

    name: str
    contents: dict[str, str]
    replaces: tuple[str, ...] = ()
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    row: str = ""

    def file(self, table: str) -> str:
        """Name of the file that holds this table."""
        row = f".{self.row}" if table == "samples" and self.row else ""
        return f"{table}/packs/{self.name}{row}.parquet"

    def hash(self, table: str) -> str:
        """First digits of the SHA-256 of the file that holds this table; none where they are not known."""
        return self.row if table == "samples" else str(self.parts[table]["sha256"])

    def of(self, sample: str) -> Pack:
        """Return the pack as far as one sample goes."""
        return replace(
            self, contents={name: self.contents[name] for name in (sample,) if name in self.contents}
        )


def new_writer(seen: Iterable[str]) -> str:
    """Return a name for a writer: a number above all that it has seen, and random digits.

    So whoever replaces something has the higher name; of two who did not see each other all choose the same.
    """
    number = max((int(writer[:4], 16) for writer in seen), default=0) + 1
    return f"{number:04x}{secrets.token_hex(4)}"


def new_pack_name() -> str:
    """Return a name that no other pack has; later ones sort behind."""
    return f"pack-{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"


def folder(sample: str) -> str:
    """Return the name of a sample's folder: what is special in paths and addresses is percent-encoded."""
    return f"sample={quote(sample, safe='')}"


def removed(sample: str, content: str, pack: str) -> str:
    """Return the name of the file that takes a sample out of a pack."""
    return f"samples/{folder(sample)}/{content}.{pack}.removed"


@dataclass(frozen=True)
class Index:
    """What lies below ``samples/``; of packs the names, and the hashes in the names of their files."""

    loose: tuple[Part, ...]
    packs: dict[str, str]
    removed: frozenset[tuple[str, str, str]]  # sample, content, pack
    written: dict[str, float]

    @classmethod
    def of(cls, store: Store, sample: str | None = None) -> Index:
        """Look what there is, of one sample alone or of all (packs in either case)."""
        loose, packs, gone, written = [], {}, set(), {}
        for file in _listed(store, sample):
            if match := _LOOSE.fullmatch(file.name):
                loose.append(Part(unquote(match[1]), match[2], match[3], match[4], match[5] or ""))
            elif match := _PACK.fullmatch(file.name):
                packs[match[1]] = match[2] or ""
            elif match := _REMOVED.fullmatch(file.name):
                gone.add((unquote(match[1]), match[2], match[3]))
            written[file.name] = file.written
        return cls(tuple(loose), dict(sorted(packs.items())), frozenset(gone), written)

    def packs_of(self, names: tuple[str, ...]) -> list[str]:
        """Return those of these packs that are still there."""
        return [name for name in names if name in self.packs]


def _listed(store: Store, sample: str | None) -> Iterator[File]:
    """Return packs last: a part that went meanwhile went into a pack, which is seen then."""
    below = "samples" if sample is None else f"samples/{folder(sample)}"
    yield from (file for file in store.files(below) if not _PACK.fullmatch(file.name))
    yield from store.files("samples/packs")


@dataclass(frozen=True)
class Snapshot:
    """The samples that count at a moment, each of them once.

    Parameters
    ----------
    where : dict of str to Part or Pack
        Samples by name, in their order.
    hidden : dict of str to tuple of str
        Samples of each pack that do not count: removed, replaced, or elsewhere too.
    packs : tuple of Pack
        Those that are read.
    replaced : tuple of Pack
        Those that are not: replaced by others, or without a sample that counts.
    index : Index
        What was found.
    twice : dict of str to tuple of str
        Samples of one name with several contents, of which the first counts.
    """

    where: dict[str, Part | Pack]
    hidden: dict[str, tuple[str, ...]]
    packs: tuple[Pack, ...]
    replaced: tuple[Pack, ...]
    index: Index
    twice: dict[str, tuple[str, ...]]

    @classmethod
    def of(cls, index: Index, packs: tuple[Pack, ...]) -> Snapshot:
        """Choose where each sample is read from.

        A content that is in a pack is read from there.  Where a name has several contents, as while it is
        being replaced, the newer one counts: that which is in no pack, or else in the latest.
        """
        replaced = {name for pack in packs for name in pack.replaces}
        live = tuple(pack for pack in packs if pack.name not in replaced)
        packed: dict[tuple[str, str], Pack] = {}
        for pack in reversed(live):
            for sample, content in pack.contents.items():
                if (sample, content, pack.name) not in index.removed:
                    packed.setdefault((sample, content), pack)
        chosen: dict[tuple[str, str], Part | Pack] = {}
        for part in sorted(index.loose, key=lambda part: part.writer, reverse=True):
            key = (part.sample, part.content)
            chosen.setdefault(key, packed.get(key, part))
        for key, pack in packed.items():
            chosen.setdefault(key, pack)
        contents: dict[str, list[str]] = {}
        where: dict[str, Part | Pack] = {}
        for (sample, content), place in chosen.items():
            contents.setdefault(sample, []).append(content)
            where.setdefault(sample, place)
        hidden = {
            pack.name: tuple(
                sample
                for sample, content in pack.contents.items()
                if where.get(sample) is not pack or contents[sample][0] != content
            )
            for pack in live
        }
        read = tuple(pack for pack in live if len(hidden[pack.name]) < len(pack.contents))
        rest = tuple(pack for pack in packs if pack not in read)
        twice = {sample: tuple(found) for sample, found in contents.items() if len(found) > 1}
        return cls(dict(sorted(where.items())), hidden, read, rest, index, twice)

    @property
    def all_packs(self) -> tuple[Pack, ...]:
        """All packs whose table of samples can be read."""
        return (*self.packs, *self.replaced)

    def content(self, sample: str) -> str:
        """Return the content hash of a sample that counts."""
        place = self.where[sample]
        return place.content if isinstance(place, Part) else place.contents[sample]

    def served_by(self, pack: Pack) -> tuple[str, ...]:
        """Return the samples that are read from a pack."""
        return tuple(sample for sample in pack.contents if self.where.get(sample) is pack)

    def contents(self, sample: str) -> set[str]:
        """Return all contents that a sample has, also those that do not count but might."""
        loose = {part.content for part in self.index.loose if part.sample == sample}
        return loose | {content for _, content in self.packed(sample)}

    def packed(self, sample: str) -> list[tuple[Pack, str]]:
        """Return the packs that a sample was not taken out of, and its content in each."""
        return [
            (pack, pack.contents[sample])
            for pack in self.all_packs
            if sample in pack.contents
            and (sample, pack.contents[sample], pack.name) not in self.index.removed
        ]

    def without(self, samples: set[str]) -> Snapshot:
        """Return the snapshot with some samples left out."""
        hidden = {
            pack.name: tuple(
                dict.fromkeys([*self.hidden[pack.name], *(s for s in pack.contents if s in samples)])
            )
            for pack in self.packs
        }
        where = {sample: place for sample, place in self.where.items() if sample not in samples}
        return replace(self, where=where, hidden=hidden)
