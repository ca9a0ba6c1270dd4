"""The graph database: what is added comes back, whatever is killed, doubled, damaged or moved meanwhile."""

import json
import logging
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import fsspec
import numpy as np
import pandas as pd
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

import object_store
import tripoint as tp
from tripoint import cli, synth
from tripoint.database import checking, compaction, content
from tripoint.database.layout import TABLES, Part
from tripoint.errors import InputError
from tripoint.graph import Graph

HOUR = 3600.0


def graph(seed=0, rows=5, name=None, **columns):
    """A small graph whose numbers come from a seed."""
    rng = np.random.default_rng(seed)
    phases = np.array(["active", "void"])[rng.integers(0, 2, rows)]
    nodes = pd.DataFrame(
        {
            "node": np.arange(1, rows + 1, dtype=np.int32),
            "phase": phases,
            "volume": rng.random(rows),
            "activity": np.where(phases == "active", rng.random(rows), np.nan),
            "fragment": rng.random(rows) < 0.5,
            **columns,
        }
    )
    contacts = pd.DataFrame(
        {"source": nodes["node"][:-1], "target": nodes["node"][1:].to_numpy(), "area": rng.random(rows - 1)}
    )
    junctions = pd.DataFrame({"a": [1], "b": [2], "c": [3], "length": rng.random(1)})
    metadata = {"name": name or f"s{seed}", "shape": [4, 4, 4], "spacing": [1.0, 1.0, 1.0], "materials": {}}
    return Graph(nodes, contacts, junctions, metadata)


def same(a, b):
    for table in ("nodes", "contacts", "junctions"):
        pd.testing.assert_frame_equal(getattr(a, table), getattr(b, table))


@pytest.fixture(autouse=True)
def _heard(monkeypatch):
    """Let pytest hear the log, which the command line keeps to itself."""
    monkeypatch.setattr(logging.getLogger("tripoint"), "propagate", True)


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
    """Let no test see what another found whole."""
    # Compiled code stays where it is: without it every process would compile for minutes.
    monkeypatch.setenv(
        "NUMBA_CACHE_DIR", os.environ.get("NUMBA_CACHE_DIR") or str(Path("~/.cache").expanduser())
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(params=["folder", "object store"])
def path(request, tmp_path):
    """Where a database lies: in a folder, or where files can be put but not renamed."""
    if request.param == "folder":
        return tmp_path / "db"
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    fs.pseudo_dirs[:] = [""]
    return "memory://graphs/db"


@pytest.fixture
def db(path):
    return tp.GraphDatabase(path)


@pytest.fixture
def folder_db(tmp_path):
    return tp.GraphDatabase(tmp_path / "db")


@pytest.fixture(scope="module")
def result():
    sample = synth.solid_state_cathode((24, 24, 24), (0.8, 0.8, 0.8), seed=1)
    return tp.analyze(sample, transport=True, activity="simulate", device="cpu")


def aged(database, seconds=2 * HOUR):
    """Make all files look as if they had been written long ago."""
    then = time.time() - seconds
    for file in Path(database.store.root).rglob("*"):
        os.utime(file, (then, then))


def test_a_result_comes_back(db, result):
    assert db.add(result)
    name = result.sample.name
    assert list(db) == [name]
    assert name in db
    assert "other" not in db
    same(db[name], result.graph)
    assert json.loads(json.dumps(result.graph.metadata)) == db[name].metadata
    row = db.row(name)
    assert row["tripoint"] == tp.__version__
    assert row["input_hash"].startswith("voxels:")
    assert json.loads(row["configuration"])["activity"] == "simulate"
    assert json.loads(row["summary"])["schema"] == 1
    density = result.summary["junctions_total"]["density"]
    assert db.sql("select tpb_density from samples").iloc[0, 0] == density
    by_json = db.sql("select (summary->>'$.junctions_total.density')::double d from samples")
    assert by_json["d"][0] == density


def test_a_saved_result_is_the_same_sample(folder_db, result, tmp_path):
    assert folder_db.add(result)
    assert not folder_db.add(tp.load(result.save(tmp_path / "out")))
    again = tp.analyze(result.sample, transport=True, activity="simulate", device="cpu")
    assert not folder_db.add(again)  # seconds and memory differ, the content does not


def test_adding_is_idempotent_by_content(db):
    assert db.add(graph(1))
    assert not db.add(graph(1))
    assert not db.add(graph(1, name="elsewhere"), "s1")
    reordered = graph(1)
    columns = reordered.nodes.columns[::-1]
    assert not db.add(
        Graph(reordered.nodes[columns], reordered.contacts, reordered.junctions, reordered.metadata)
    )
    with pytest.raises(InputError, match=r"'s1' with other content .* overwrite=true"):
        db.add(graph(2), "s1")
    assert db.add(graph(2), "s1", overwrite=True)
    same(db["s1"], graph(2))
    assert db.verify() == []


def test_what_is_computed_from_the_same_is_there(db):
    key = content.hash_settings({"seed": 1}, "file:abc")
    assert (
        key
        != content.hash_settings({"seed": 2}, "file:abc")
        != content.hash_settings({"seed": 2}, "file:abd")
    )
    assert not db.has("s1", key)
    assert db.add(graph(1), key=key)
    assert db.has("s1", key)
    rounded = graph(1)
    rounded.nodes["volume"] *= 1 + 1e-15
    assert not db.add(rounded, key=key)


def test_names_may_hold_anything(db):
    names = ["a/b", "../up", "sample=x", "µ 50%", "it's", "*?[x]", "1", ".", "a=b&c"]
    for seed, name in enumerate(names):
        assert db.add(graph(seed), name)
    assert sorted(db) == sorted(names)
    assert set(db.sql("select distinct sample from nodes")["sample"]) == set(names)
    db.compact(0)
    for seed, name in enumerate(names):
        same(db[name], graph(seed))
    for name in names:
        db.remove(name)
    assert len(db) == 0
    for bad in ("", " ", None, "x" * 200):
        with pytest.raises(InputError, match="name of the sample"):
            db.add(Graph(*(getattr(graph(), t) for t in TABLES[:-1]), metadata={}), bad)


def test_samples_with_other_columns_are_put_together_by_name(db):
    plain, more = graph(1), graph(2, current_ion=1.5)
    del plain.nodes["activity"]
    more.nodes["volume"] = [1, 2, 3, 4, 5]  # whole numbers here
    db.add(plain)
    db.add(more)
    for _ in range(2):
        found = db.sql(
            "select sample, count(current_ion) n, avg(activity) a, sum(volume) v from nodes group by 1"
        )
        found = found.set_index("sample").loc[["s1", "s2"]]
        assert list(found["n"]) == [0, 5]
        assert np.isnan(found["a"].iloc[0])
        assert np.allclose(found["a"].iloc[1], more.nodes["activity"].mean())
        assert np.allclose(found["v"], [plain.nodes["volume"].sum(), 15])
        same(db["s1"], plain)
        same(db["s2"], more)
        db.compact(0)


def test_every_column_has_its_unit(folder_db):
    def units(table):
        file = next(Path(folder_db.store.root, table).rglob("*.parquet"))
        schema = pq.read_schema(file)
        assert json.loads(schema.metadata[b"tripoint"])["schema"] == 1
        return {field.name: field.metadata[b"unit"].decode() for field in schema if field.metadata}

    folder_db.add(graph())
    for _ in range(2):
        assert units("nodes")["volume"] == "µm³"
        assert units("contacts")["area"] == "µm²"
        assert units("samples")["tpb_density"] == "µm⁻²"
        folder_db.compact(0)


def test_any_engine_reads_it(folder_db):
    for seed in range(4):
        folder_db.add(graph(seed))
    for _ in range(2):
        root = folder_db.store.root
        files = f"read_parquet('{root}/nodes/**/*.parquet', union_by_name=true, hive_partitioning=false)"
        assert duckdb.sql(f"select count(*), count(distinct sample) from {files}").fetchall() == [(20, 4)]
        assert pyarrow.dataset.dataset(f"{root}/nodes").count_rows() == 20
        folder_db.compact(0)


def test_an_empty_database(db, path):
    for ask in (len, lambda d: d.sql("select 1 from nodes"), lambda d: d.verify(), lambda d: d.compact()):
        with pytest.raises(InputError, match="no database at"):
            ask(db)
    db.add(graph())
    db.remove("s0")
    db = tp.GraphDatabase(path)
    assert len(db) == 0
    assert db.sql("select count(*) n, sum(volume) v from nodes")["n"][0] == 0
    assert db.sql("select * from contacts").empty
    with pytest.raises(InputError, match="database is empty"):
        db.sql("select tortuosity from samples")
    with pytest.raises(InputError, match="it is empty"):
        db["s0"]
    assert db.verify() == []
    assert db.compact(0).packed == 0


def test_what_is_no_database(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="no database of tripoint"):
        tp.GraphDatabase(tmp_path)
    later = tmp_path / "later"
    later.mkdir()
    (later / "tripoint.json").write_text('{"schema": 99}')
    with pytest.raises(InputError, match="has form 99"):
        tp.GraphDatabase(later)
    with pytest.raises(InputError, match="cannot be opened"):
        tp.GraphDatabase("nowhere://bucket/db")
    with pytest.raises(InputError, match="path of the database is empty"):
        tp.GraphDatabase("")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("selec 1", "syntax error"),
        ("select nothing from nodes", "nothing"),
        ("select * from particles", "particles"),
        ("drop view nodes", "DROP"),
        ("copy nodes to 'x.parquet'", "COPY"),
        ("select 1; select 2", "2 statements"),
        ("", "0 statements"),
        ("select 'a'::integer from nodes", "Could not convert"),
    ],
)
def test_queries_that_cannot_be_answered(folder_db, query, words):
    folder_db.add(graph())
    with pytest.raises(InputError, match=words):
        folder_db.sql(query)


def test_parameters_and_batches(db):
    for seed in range(3):
        db.add(graph(seed, rows=1000))
    assert db.sql("select count(*) n from nodes where sample = ?", ["s1"])["n"][0] == 1000
    batches = list(db.stream("select volume from nodes", rows=500))
    assert batches[0].num_rows == 0
    assert sum(batch.num_rows for batch in batches) == 3000
    assert dict(db.graphs(["s2"]))["s2"].nodes["volume"].sum() == graph(2, rows=1000).nodes["volume"].sum()


def test_there_is_no_such_sample(db):
    db.add(graph(), "cathode_17")
    for ask in (lambda: db["cathode_71"], lambda: db.remove("cathode_71"), lambda: db.row("cathode_71")):
        with pytest.raises(InputError, match=r"no sample 'cathode_71' .* cathode_17"):
            ask()


def test_any_order_of_work_gives_what_a_dictionary_gives(path):
    """Two open databases take turns in adding, replacing, removing, packing and tidying up."""
    chance = random.Random(7)
    databases = [tp.GraphDatabase(path) for _ in range(2)]
    databases[0].add(graph(0), "first")
    expected = {"first": 0}
    for _ in range(60):
        database, name, seed = chance.choice(databases), f"n{chance.randrange(6)}", chance.randrange(50)
        action = chance.choice(["add", "add", "replace", "remove", "compact", "tidy"])
        if action == "add" and expected.get(name, seed) == seed:
            assert database.add(graph(seed), name) == (name not in expected)
            expected[name] = seed
        elif action == "replace":
            database.add(graph(seed), name, overwrite=True)
            expected[name] = seed
        elif action == "remove" and name in expected:
            database.remove(name)
            del expected[name]
        elif action in ("compact", "tidy"):
            database.compact(HOUR if action == "compact" else -1)
        assert sorted(databases[0]) == sorted(expected)
    for database in databases:
        assert database.verify() == []
        sums = database.sql("select sample, sum(volume) v, count(*) n from nodes group by 1").set_index(
            "sample"
        )
        assert sorted(sums.index) == sorted(expected)
        for name, seed in expected.items():
            same(database[name], graph(seed))
            assert np.isclose(sums["v"][name], graph(seed).nodes["volume"].sum())
            assert sums["n"][name] == 5


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import tripoint as tp
from tripoint.database.store import Store
from test_database import graph
put = Store._put_beside
def stops(self, name, data):
    if name.startswith({table!r}):
        if {half}:
            with self._beside(name) as path:
                open(path, "wb").write(bytes(data)[:40])
                os.kill(os.getpid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
    put(self, name, data)
Store._put_beside = stops
tp.GraphDatabase({path!r}).add(graph(1))
"""


@pytest.mark.parametrize(("table", "half"), [("contacts", False), ("nodes", True), ("samples", True)])
def test_a_killed_writer_leaves_nothing_visible(folder_db, table, half):
    folder_db.add(graph(0))
    script = KILLED.format(
        tests=str(Path(__file__).parent), table=table, half=half, path=folder_db.store.root
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    assert list(folder_db) == ["s0"]
    assert folder_db.sql("select count(*) n from nodes")["n"][0] == 5
    assert all("belongs to no sample" in str(finding) for finding in folder_db.verify())
    assert folder_db.add(graph(1))  # its leftovers are in nobody's way
    folder_db.compact(0)
    same(folder_db["s1"], graph(1))
    aged(folder_db)
    folder_db.compact()
    assert folder_db.verify() == []
    hidden = [file.name for file in Path(folder_db.store.root).rglob(".*")]
    assert hidden == []
    assert sorted(folder_db) == ["s0", "s1"]


CROWD = """
import sys
sys.path.insert(0, {tests!r})
import tripoint as tp
from test_database import graph
db = tp.GraphDatabase({path!r})
for seed in range(12):
    db.add(graph(seed), f"shared{{seed}}")
    db.add(graph(seed), f"own{{sys.argv[1]}}_{{seed}}")
    if seed == 6 and sys.argv[1] == "0":
        db.compact(0)
"""


@pytest.mark.slow
def test_many_processes_add_at_once(folder_db):
    """Eight add samples of their own and the same ones; one puts them together meanwhile."""
    script = CROWD.format(tests=str(Path(__file__).parent), path=folder_db.store.root)
    crowd = [subprocess.Popen([sys.executable, "-c", script, str(number)]) for number in range(8)]
    assert [process.wait() for process in crowd] == [0] * 8
    assert len(folder_db) == 12 + 8 * 12
    counted = folder_db.sql("select sample, count(*) n from nodes group by 1")
    assert len(counted) == 108
    assert set(counted["n"]) == {5}
    assert folder_db.verify() == []


@pytest.mark.parametrize("key", [None, "theirs", "ours"])
def test_the_same_name_added_at_once_with_other_content(db, path, monkeypatch, key):
    """The one who looks later finds the other, and says so; what the other added stays."""
    other = tp.GraphDatabase(path)

    def first(self, *arguments):
        monkeypatch.undo()
        other.add(graph(2), "x", key=key and "theirs")
        return False

    monkeypatch.setattr(tp.GraphDatabase, "_is_there", first)
    if key == "theirs":  # computed from the same
        assert not db.add(graph(1), "x", key=key)
    else:
        with pytest.raises(InputError, match="another process has just added"):
            db.add(graph(1), "x", key=key)
    same(db["x"], graph(2))
    assert db.verify() == []


def test_two_replace_at_once(db, path, monkeypatch):
    """The second has seen the first: it stays."""
    db.add(graph(0), "x")
    other = tp.GraphDatabase(path)
    take_out = tp.GraphDatabase._take_out

    def beside(self, *arguments):
        monkeypatch.undo()
        assert other.add(graph(2), "x", overwrite=True)
        take_out(self, *arguments)

    monkeypatch.setattr(tp.GraphDatabase, "_take_out", beside)
    kept = db.add(graph(1), "x", overwrite=True)
    same(db["x"], graph(1 if kept else 2))
    assert db.verify() == []


def test_two_replace_without_seeing_each_other(db, path, monkeypatch):
    db.add(graph(0), "x")
    other = tp.GraphDatabase(path)
    put = compaction.Store.put

    def beside(self, files):
        monkeypatch.undo()
        other.add(graph(2), "x", overwrite=True)  # it has not seen anything of the first one
        put(self, files)

    monkeypatch.setattr(compaction.Store, "put", beside)
    kept = db.add(graph(1), "x", overwrite=True)
    same(db["x"], graph(1 if kept else 2))
    assert db.verify() == []


@pytest.mark.parametrize("damage", ["cut", "changed", "missing", "empty"])
@pytest.mark.parametrize("table", TABLES)
def test_a_damaged_part_is_named_and_the_others_are_served(folder_db, caplog, damage, table):
    for seed in range(3):
        folder_db.add(graph(seed))
    file = next(Path(folder_db.store.root, table, "sample=s1").iterdir())
    hurt(file, damage)
    named = str(file.relative_to(folder_db.store.root))
    findings = folder_db.verify()
    if (table, damage) == ("samples", "missing"):  # then the sample is not there
        assert all("belongs to no sample" in str(finding) for finding in findings)
        assert list(folder_db) == ["s0", "s2"]
        return
    assert [finding.file for finding in findings] == [named]
    assert findings[0].samples == ("s1",)
    with pytest.raises(InputError, match="remove the sample 's1' and add it again") as caught:
        folder_db["s1"]
    assert named in str(caught.value)
    totals = folder_db.sql(f"select count(distinct sample) n from {table}")
    assert totals["n"][0] == 2
    assert any(named in message and "'s1'" in message for message in caplog.messages)
    assert folder_db.compact(0).packed == 2  # what is damaged stays where it is
    same(folder_db["s2"], graph(2))
    folder_db.remove("s1")
    folder_db.add(graph(1))
    same(folder_db["s1"], graph(1))
    aged(folder_db)
    folder_db.compact()
    assert folder_db.verify() == []


def flip(file, rng):
    """Change a bit of a file, as a disk or a transfer might."""
    whole = bytearray(file.read_bytes())
    whole[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
    file.write_bytes(whole)


@pytest.mark.parametrize("opened", ["before", "after", "by another process before"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("table", TABLES)
def test_no_changed_bit_gives_a_wrong_answer(folder_db, caplog, monkeypatch, table, packed, opened):
    """Of whole files only the answer is: of each bit that changes the file is named and the rest served."""
    monkeypatch.setattr(checking, "WORTH_KEEPING", 0)
    for seed in range(3):
        folder_db.add(graph(seed, rows=50))
    if packed:
        folder_db.compact(0)
        folder_db.add(graph(3, rows=50))
    root = Path(folder_db.store.root)
    query = f"select * from {table} order by all"
    whole = folder_db.sql(query)
    file = next(root.glob(f"{table}/packs/*" if packed else f"{table}/sample=s1/*"))
    content, named = file.read_bytes(), str(file.relative_to(root))
    rest = whole[whole["sample"] == "s3"] if packed else whole[whole["sample"] != "s1"]
    rng = random.Random(f"{table} {packed}")
    for _ in range(12):
        flip(file, rng)
        caplog.clear()
        database = folder_db if opened == "before" else tp.GraphDatabase(root)
        if opened == "before" and packed and table == "samples":
            database = tp.GraphDatabase(root)  # what was read of the pack is right for as long as it is known
        found = database.sql(query)
        pd.testing.assert_frame_equal(found, rest.reset_index(drop=True), check_dtype=False)
        assert any(named in message for message in caplog.messages)
        file.write_bytes(content)
        if opened == "by another process before":
            pd.testing.assert_frame_equal(tp.GraphDatabase(root).sql(query), whole)


def test_files_are_hashed_once(folder_db, monkeypatch):
    for seed in range(3):
        folder_db.add(graph(seed))
    looked = []
    check = checking.check_file
    monkeypatch.setattr(checking, "check_file", lambda *a: looked.append(a[1].file(a[2])) or check(*a))
    monkeypatch.setattr(checking, "WORTH_KEEPING", 0)
    folder_db.sql("select sample, nodes, contacts from samples where sample <> 'junctions of'")
    assert {name.split("/")[0] for name in looked} == {"samples", "junctions"}
    looked.clear()
    folder_db.sql("with n as (from nodes) select count(*) from n join Contacts c on n.node = c.source")
    assert sorted({name.split("/")[0] for name in looked}) == ["contacts", "nodes"]
    assert len(looked) == 6
    folder_db.sql("select count(*) from nodes")
    tp.GraphDatabase(folder_db.store.root).sql("select count(*) from nodes join samples using (sample)")
    assert len(looked) == 6
    folder_db.add(graph(4))
    folder_db.sql("explain select count(*) from nodes")
    assert len(looked) == 7
    aged(folder_db)
    folder_db.sql("describe nodes")
    assert len(looked) == 11


def test_without_a_check_files_are_not_hashed(folder_db, monkeypatch, caplog):
    folder_db.add(graph(0))
    folder_db.add(graph(1))
    database = tp.GraphDatabase(folder_db.store.root, check=False)
    check = checking.check_file
    monkeypatch.setattr(checking, "check_file", None)
    assert database.sql("select count(*) n from nodes")["n"][0] == 10
    monkeypatch.setattr(checking, "check_file", check)
    hurt(next(Path(database.store.root, "nodes/sample=s1").iterdir()), "cut")
    assert database.sql("select count(*) n from nodes")["n"][0] == 5  # what cannot be read is left out still
    assert any("'s1'" in message for message in caplog.messages)


@pytest.mark.parametrize("packed", [False, True])
def test_databases_whose_names_have_no_hashes_are_checked_too(folder_db, packed):
    """Those of earlier versions: the row tells the hashes, and its own pages have checksums."""
    for seed in range(3):
        folder_db.add(graph(seed))
    if packed:
        folder_db.compact(0)
    root = Path(folder_db.store.root)
    for file in root.glob("samples/*/*.parquet"):
        name = file.stem.split(".")[0] if packed else file.stem.rpartition("-")[0]
        file.rename(file.with_name(name + ".parquet"))
    database = tp.GraphDatabase(root)
    assert database.sql("select count(*) n from nodes join samples using (sample)")["n"][0] == 15
    assert database.verify() == []
    same(database["s1"], graph(1))
    hurt(next(root.glob("nodes/packs/*" if packed else "nodes/sample=s1/*")), "changed")
    left = tp.GraphDatabase(root).sql("select distinct sample from nodes order by sample")["sample"]
    assert list(left) == ([] if packed else ["s0", "s2"])


def hurt(file, damage):
    whole = file.read_bytes()
    if damage == "missing":
        file.unlink()
    elif damage == "changed":
        middle = len(whole) // 3
        file.write_bytes(whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :])
    else:
        file.write_bytes(whole[: len(whole) // 2 if damage == "cut" else 0])


@pytest.mark.parametrize("table", ["nodes", "samples"])
def test_a_damaged_pack_is_named(folder_db, caplog, table):
    for seed in range(3):
        folder_db.add(graph(seed))
    folder_db.compact(0)
    folder_db.add(graph(3))
    hurt(next(Path(folder_db.store.root, table, "packs").iterdir()), "cut")
    database = tp.GraphDatabase(folder_db.store.root)
    assert list(database.sql(f"select distinct sample from {table}")["sample"]) == ["s3"]
    assert any(f"{table}/packs/" in message for message in caplog.messages)
    assert any(f"{table}/packs/" in str(finding) for finding in database.verify())
    assert database.compact(0).packed == 1
    assert "s3" in list(database)


def test_compaction_keeps_small_files_for_those_who_read(folder_db):
    for seed in range(5):
        folder_db.add(graph(seed))
    done = folder_db.compact()
    assert (done.packed, done.packs, done.removed) == (5, 1, 0)
    assert len(list(Path(folder_db.store.root).rglob("sample=*/*.parquet"))) == 20
    assert folder_db.sql("select count(*) n from nodes")["n"][0] == 25  # each counts once
    aged(folder_db)
    assert folder_db.compact().removed == 20
    assert not list(Path(folder_db.store.root).rglob("sample=*"))
    assert folder_db.sql("select count(*) n from nodes")["n"][0] == 25
    assert folder_db.compact(0).packed == 0  # nothing left to do


def test_packs_are_of_bounded_size_and_merge(folder_db, monkeypatch):
    monkeypatch.setattr(compaction, "SAMPLES_PER_PACK", 4)
    for seed in range(10):
        folder_db.add(graph(seed))
    assert folder_db.compact(0).packs == 3
    assert len(folder_db.snapshot().packs) == 3
    for seed in (0, 4, 5, 6):
        folder_db.remove(f"s{seed}")
    folder_db.compact(0)
    assert len(folder_db.snapshot().packs) == 2
    assert sorted(folder_db) == ["s1", "s2", "s3", "s7", "s8", "s9"]
    assert folder_db.verify() == []
    for seed in (1, 7, 9):
        same(folder_db[f"s{seed}"], graph(seed))


def test_a_killed_compaction_changes_nothing(folder_db, monkeypatch):
    for seed in range(3):
        folder_db.add(graph(seed))

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(compaction.pq, "write_table", killed)  # the last file, which makes the pack visible
    with pytest.raises(KeyboardInterrupt):
        folder_db.compact(0)
    monkeypatch.undo()
    assert folder_db.sql("select count(*) n from nodes")["n"][0] == 15
    assert len(folder_db.snapshot().packs) == 0
    aged(folder_db)
    folder_db.compact(0)
    assert len(folder_db) == 3
    assert folder_db.verify() == []


def test_what_is_replaced_in_a_pack_of_its_own_stays_replaced(db):
    db.add(graph(1), "x")
    db.compact()  # leaves the small files
    db.add(graph(2), "x", overwrite=True)
    for grace in (HOUR, 0, 0):
        same(db["x"], graph(2))
        assert db.sql("select sum(volume) v from nodes")["v"][0] == pytest.approx(
            graph(2).nodes["volume"].sum()
        )
        db.compact(grace)
    db.remove("x")
    assert len(db) == 0


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_what_is_removed_while_it_is_packed_stays_removed(db, path, monkeypatch, packed, moment):
    for seed in range(3):
        db.add(graph(seed))
    if packed:
        db.compact(0)
        db.add(graph(3))
    other = tp.GraphDatabase(path)
    put = compaction.Store.put

    def beside(self, files):
        monkeypatch.undo()
        if moment == "before":
            other.remove("s1")
        put(self, files)
        if moment == "after":
            other.remove("s1")

    monkeypatch.setattr(compaction.Store, "put", beside)
    db.compact(0)
    assert "s1" not in list(db)
    db.compact(0)
    assert sorted(db) == (["s0", "s2", "s3"] if packed else ["s0", "s2"])
    assert "s1" not in set(db.sql("select sample from nodes")["sample"])
    db.add(graph(9), "s1")
    same(db["s1"], graph(9))


def test_a_reader_goes_on_where_files_were_tidied_away(folder_db, monkeypatch):
    """Between the look at what there is and the query, another process packs and removes the small files."""
    for seed in range(3):
        folder_db.add(graph(seed))
    other = tp.GraphDatabase(folder_db.store.root)
    before = folder_db.snapshot()
    other.compact(-1)
    monkeypatch.setattr(tp.GraphDatabase, "snapshot", lambda self: monkeypatch.undo() or before)
    assert folder_db.sql("select count(*) n from nodes")["n"][0] == 15


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.parametrize("place", ["folder", "bucket"])
def test_another_process_goes_on_with_an_open_database(tmp_path, start, place):
    database = tp.GraphDatabase(
        tmp_path / "db" if place == "folder" else object_store.address(tmp_path / "db")
    )
    database.add(graph(0))
    database.compact(0)
    database.add(graph(1))
    there = multiprocessing.get_context(start)
    answers = there.SimpleQueue()
    process = there.Process(target=_go_on, args=(database, answers))  # a fork inherits, a spawn pickles
    process.start()
    process.join(120)
    assert process.exitcode == 0
    for seed, found in enumerate(answers.get()):
        same(found, graph(seed))
    same(database["s2"], graph(2))
    assert database.verify() == []


def _go_on(database, answers):
    database.add(graph(2))
    answers.put([database[name] for name in database])


def test_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(tp.OutputError, match="cannot be written"):
        tp.GraphDatabase("/proc/nowhere/db").add(graph())


def test_content_hash_sees_every_value():
    """One changed value in any column changes the hash; what stands below a missing value does not."""
    from tripoint.database.parts import tables_of

    def digest(g):
        return content.hash_graph(tables_of(g, "x"), g.metadata, {})

    first = digest(graph())
    for table in ("nodes", "contacts", "junctions"):
        for column in getattr(graph(), table).columns:
            other = graph()
            values = getattr(other, table)
            value = values.loc[0, column]
            if isinstance(value, str):
                changed = value + "!"
            elif column == "fragment":
                changed = not value
            else:
                changed = 0.5 if np.isnan(value) else value + 1
            values.loc[0, column] = changed
            assert digest(other) != first, column
    other = graph()
    bits = other.nodes["activity"].to_numpy().copy()
    bits[np.isnan(bits)] = -np.nan
    other.nodes["activity"] = bits
    assert digest(other) == first


def test_hash_of_an_input(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"voxels")
    (tmp_path / "b.h5").write_bytes(b"voxels")
    (tmp_path / "slices").mkdir()
    (tmp_path / "slices/1.tif").write_bytes(b"voxels")
    one = content.hash_input(tmp_path / "a.h5")
    assert one == content.hash_input(tmp_path / "b.h5")
    assert (
        one != content.hash_input(f"{tmp_path}/a.h5:/labels") != content.hash_input(f"{tmp_path}/a.h5:/other")
    )
    folder = content.hash_input(tmp_path / "slices")
    (tmp_path / "slices/2.tif").write_bytes(b"")
    assert folder != content.hash_input(tmp_path / "slices")
    with pytest.raises(InputError, match="no file or folder"):
        content.hash_input(tmp_path / "c.tif")


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Run ``tripoint db`` in a folder; return its exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = cli.main(["db", *map(str, words)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_command_line(run, result, tmp_path, monkeypatch):
    result.save(tmp_path / "out/a=b, c")
    code, out, err = run("add", "out/a=b, c", "database=graphs")
    assert (code, out) == (0, f"{result.sample.name}: added\n"), err
    assert "is there already" in run("add", "out/a=b, c", "database=graphs")[1]
    assert run("add", "out/a=b, c", "name=other", "database=graphs")[0] == 0
    monkeypatch.setenv("TRIPOINT_DATABASE", str(tmp_path / "graphs"))
    assert run("list")[1].splitlines()[0].split()[:2] == ["sample", "nodes"]
    query = "select sample, count(*) n from nodes where phase = 'active' or label=9 group by all order by 1"
    active = int((result.graph.nodes["phase"] == "active").sum())
    assert run("query", query)[1].split() == [
        "sample",
        "n",
        "other",
        str(active),
        result.sample.name,
        str(active),
    ]
    assert run("query", query, "rows=1")[1].count("\n") == 3
    assert run("query", query, "format=csv")[1].splitlines()[1] == f"other,{active}"
    assert json.loads(run("query", query, "format=json")[1].splitlines()[0]) == {
        "sample": "other",
        "n": active,
    }
    code, out, _ = run("query", "select * from contacts", "output=c.parquet")
    assert (code, out) == (0, "c.parquet\n")
    assert len(pd.read_parquet("c.parquet")) == 2 * len(result.graph.contacts)
    assert run("query", "select node, '{x}, $y' t from nodes", "output=n.csv")[0] == 0
    assert len(pd.read_csv("n.csv")) == 2 * len(result.graph.nodes)
    assert run("query", "select count(*) n from contacts", "check=false", "format=csv")[0] == 0
    assert run("compact", "grace=0")[1].startswith("2 samples put into 1 pack, 8 files")
    assert run("verify")[1] == "2 samples are whole\n"
    assert run("remove", "other")[0] == 0
    hurt(next(Path("graphs/nodes/packs").iterdir()), "changed")
    code, out, err = run("verify")
    assert code == 1
    assert "nodes/packs" in out
    assert "damaged" in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "no action is given; the actions are query"),
        (("bogus",), "no action 'bogus'"),
        (("query",), "takes a query"),
        (("query", "select 1", "select 2"), "2 are given"),
        (("query", "select 1", "format=xml"), "no format 'xml'"),
        (("query", "select 1", "format=parquet"), "Parquet is written into a file"),
        (("query", "select 1", "rows=none"), "rows is 'none'"),
        (("query", "select 1 from nodes", "memory=lots"), "memory is 'lots'"),
        (("query", "select 1", "output=/proc/x.csv"), "cannot be written"),
        (("query", "select nothing from nodes"), "nothing"),
        (("list", "everything"), "takes nothing but settings"),
        (("add",), "takes the folder of a result"),
        (("add", "nowhere"), "is not a result"),
        (("add", "a", "b", "name=c"), "stands for 2 results"),
        (("remove", "nobody"), "no sample 'nobody'"),
        (("compact", "grace=soon"), "grace is 'soon'"),
        (("list", "database="), "setting 'database' is missing"),
        (("list", "database=elsewhere"), "no database at"),
        (("list", "colour=red"), "colour"),
    ],
)
def test_bad_words(run, tmp_path, words, sentence):
    tp.GraphDatabase(tmp_path / "database").add(graph())
    code, out, err = run(*words)
    assert code == 1
    assert sentence in err
    assert err.count("tripoint: ") == 1
    assert "Traceback" not in err
    assert out == ""


def test_parts_of_one_sample_have_one_name():
    part = Part("a/b", "0" * 20, "1" * 8, "2" * 12)
    assert part.file("nodes") == f"nodes/sample=a%2Fb/{'0' * 20}-{'1' * 8}-{'2' * 12}.parquet"


SMALL = ("shape=[24,24,24]", "spacing=[0.8,0.8,0.8]", "device=cpu")


@pytest.fixture
def tripoint(tmp_path, capsys, monkeypatch):
    """Run any task in a folder; return its exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = cli.main(list(map(str, words)))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.mark.slow
def test_synth_fills_a_database_and_goes_on_where_it_stopped(tripoint):
    words = ("synth", "-m", "database=db", "vary=solid_state_cathode", *SMALL, "transport=on", "jobs=1")
    code, out, err = tripoint(*words, "seed=0,1")
    assert code == 0, err
    assert out.count("solid_state_cathode_") == 2
    db = tp.GraphDatabase("db")
    before = dict(db.sql("select sample, added from samples").to_numpy())
    drawn = db.sql("select (configuration->>'$.synth.particles.active.fraction')::double f, "
                   "volume_fraction_active v from samples order by sample")  # fmt: skip
    assert drawn["f"].nunique() == 2
    assert np.allclose(drawn["f"], drawn["v"], atol=1e-4)
    made = []
    make = synth.make
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synth, "make", lambda *a, **k: made.append(k["seed"]) or make(*a, **k))
        assert tripoint(*words, "seed=range(0,3)")[0] == 0
    assert made == [2]
    after = dict(db.sql("select sample, added from samples").to_numpy())
    assert {name: after[name] for name in before} == before
    assert len(after) == 3
    code, _, err = tripoint(*words, "seed=1", "connectivity=26")
    assert code == 1
    assert "'solid_state_cathode_1'" in err
    assert "other input, settings or version" in err
    assert tripoint(*words, "seed=1", "connectivity=26", "overwrite=true")[0] == 0
    assert len(db) == 3


@pytest.mark.slow
def test_a_sweep_takes_the_cores_there_are(tripoint):
    words = ("synth", "-m", "database=db", *SMALL, "jobs=2")
    code, _, err = tripoint(*words, "seed=0,1,2", "synth.overlap=0.08,0.9", "name=${seed}_${synth.overlap}")
    assert code == 1  # overlap 0.9 is refused, the others are done
    assert err.count("overlap is 0.9") == 3
    assert sorted(tp.GraphDatabase("db")) == ["0_0.08", "1_0.08", "2_0.08"]


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_sweep_goes_on(tripoint, tmp_path, stop):
    """Stop a sweep and its processes when the first sample is there; that stays, the rest is made later."""
    words = ["synth", "-m", "database=db", *SMALL, "seed=range(0,6)", "jobs=2"]
    sweep = subprocess.Popen(
        [sys.executable, "-m", "tripoint.cli", *words],
        cwd=tmp_path,
        env={**os.environ, "TMPDIR": str(tmp_path)},  # which a killed sweep leaves its folder in
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    end = time.monotonic() + 300
    while not list(tmp_path.glob("db/samples/*/*.parquet")) and time.monotonic() < end:
        time.sleep(0.05)
    os.killpg(sweep.pid, stop)
    _, err = sweep.communicate(timeout=60)
    if stop == signal.SIGINT:
        assert sweep.returncode == 130
        assert "Traceback" not in err
    db = tp.GraphDatabase(tmp_path / "db")
    done = list(db)
    assert 0 < len(done) < 6
    assert not any(finding.harm for finding in db.verify())
    code, _, err = tripoint(*words[:-1], "jobs=1")
    assert code == 0, err
    assert len(db) == 6
    assert err.count("is there already") == len(done)


def test_analyze_adds_to_a_database(tripoint, result, tmp_path):
    np.save(tmp_path / "a.npy", result.sample.phases)
    np.save(tmp_path / "b.npy", result.sample.phases[::-1])
    words = ("analyze", "materials=solid_state_cathode", "spacing=[0.8,0.8,0.8]", "device=cpu", "database=db")
    code, _, err = tripoint(*words, "input=a.npy", "output=null")
    assert code == 0, err
    assert not (tmp_path / "out").exists()
    db = tp.GraphDatabase("db")
    assert list(db) == ["a"]
    assert db.row("a")["input_hash"].startswith("file:")
    _, _, err = tripoint(*words, "input=a.npy", "output=null")
    assert "is there already" in err
    code, _, err = tripoint(*words, "-m", "input=a.npy,b.npy", "output=out/${stem:${input}}", "jobs=1")
    assert code == 0, err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "b"]
    assert len(tp.load("out/b").graph.nodes) == len(db["b"].nodes)
    code, _, err = tripoint(*words, "input=a.npy", "output=null", "activity=simulate")
    assert "from other input, settings or version" in err
    (tmp_path / "a.npy").rename(tmp_path / "c.npy")  # where it lies does not matter
    assert "is there already" in tripoint(*words, "input=c.npy", "output=null", "name=a")[2]
    np.save(tmp_path / "a.npy", result.sample.phases[:, ::-1])
    code, _, err = tripoint(*words, "input=a.npy", "output=null")
    assert code == 1
    assert "from other input, settings or version" in err


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("jobs=0", "jobs is 0"),
        ("jobs=many", "jobs is 'many'"),
        ("vary.overlap=[0.1]", "vary.overlap is [0.1]"),
        ("vary.overlap=[0,1,log]", "vary.overlap is [0, 1, 'log']"),
        ("+vary.cheese=[0,1]", "cheese"),
        ("vary=cheese", "cheese"),
        ("activity=map.tif", "can only be simulate"),
        ("database=/proc/db", "cannot be written"),
        ("database=null", "the setting 'output' is missing"),
        ("seed=-1", "seed is -1"),
    ],
)
def test_bad_settings_of_a_data_set(tripoint, change, sentence):
    words = {
        "database": "database=db",
        "jobs": "jobs=1",
        "vary": "vary=solid_state_cathode",
        change.split("=")[0]: change,
    }
    code, _, err = tripoint("synth", "-m", *SMALL, *words.values())
    assert code == 1
    assert sentence in err
    assert err.count("tripoint: ") == 1


@pytest.mark.parametrize("name", synth.shipped())
def test_every_variation_fits_its_composite(name):
    """Every corner of the ranges is a valid composite, and draws follow the stated distributions."""
    import yaml

    ranges = yaml.safe_load((Path(__file__).parents[1] / "conf/vary" / f"{name}.yaml").read_text())
    composite = synth.Composite.load(name)

    def corner(ranges, side):
        return {
            key: corner(entry, side)
            if isinstance(entry, dict)
            else entry[0]
            if isinstance(entry[0], str)
            else entry[side]
            for key, entry in ranges.items()
        }

    for side in (0, 1):
        composite.changed(corner(ranges, side))
    drawn = [synth.draw(ranges, seed) for seed in range(400)]
    phase = next(iter(ranges["particles"]))
    low, high, _ = ranges["particles"][phase]["diameter"]
    logs = np.log([d["particles"][phase]["diameter"] for d in drawn])
    assert np.log(low) <= logs.min() < logs.max() <= np.log(high)
    assert np.isclose(logs.mean(), np.log(low * high) / 2, atol=4 * np.log(high / low) / np.sqrt(12 * 400))
    overlaps = np.array([d["overlap"] for d in drawn])
    assert abs(np.corrcoef(logs, overlaps)[0, 1]) < 0.2
    assert synth.vary(composite, ranges, 3) == synth.vary(composite, ranges, 3)


def test_a_result_on_either_side_is_added(folder_db, backend):
    """Tables come over once; voxels on the GPU stay there, so that their hash is not known."""
    sample = synth.solid_state_cathode((20, 20, 20), (0.8, 0.8, 0.8), seed=1)
    found = tp.analyze(sample, device=backend.name, subvolumes=0)
    assert folder_db.add(found)
    same(folder_db[sample.name], found.graph.to("cpu"))
    assert (folder_db.row(sample.name)["input_hash"] is None) == (backend.name == "cuda")
    assert not folder_db.add(found.to("cpu"))
