"""The command line as a user meets it: what it writes, and one clear sentence for every bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from tripoint import cli, synth

OUTPUTS = {
    "volume.zarr",
    "nodes.parquet",
    "contacts.parquet",
    "junctions.parquet",
    "graph.graphml",
    "report.html",
    "summary.json",
}


@pytest.fixture(scope="module")
def phases():
    return synth.solid_state_cathode((40, 36, 32), (0.5, 0.5, 0.5), seed=1).phases


@pytest.fixture
def volume(tmp_path, phases):
    path = tmp_path / "cathode.tif"
    tifffile.imwrite(path, phases)
    return path


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Run a command in an empty folder; return its exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        code = cli.main([str(word) for word in words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def refused(outcome, words, folder):
    """One sentence on standard error, an exit code, no traceback, nothing written."""
    code, _, err = outcome
    assert code == 1, err
    message = [line for line in err.splitlines() if line.startswith("tripoint: ")]
    assert len(message) == 1, err
    assert words in message[0], err
    assert "Traceback" not in err
    assert not list(Path(folder).glob("out*")), "something was written"


GIVEN = ("spacing=[1,1,1]", "materials=solid_state_cathode", "output=out")


def test_analyze_writes_everything(run, volume, tmp_path):
    code, out, err = run("analyze", f"input={volume}", *GIVEN)
    assert code == 0, err
    assert out.strip().endswith("report.html")
    assert {path.name for path in (tmp_path / "out").iterdir()} == OUTPUTS
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["schema"] == 1
    assert summary["sample"]["name"] == "cathode"
    assert summary["run"]["device"] == "cpu"
    assert "device 'cpu'" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cathode.tif", "out"]


def test_an_existing_result_stays_unless_told(run, volume, tmp_path):
    assert run("analyze", f"input={volume}", *GIVEN)[0] == 0
    before = (tmp_path / "out/summary.json").stat().st_mtime_ns
    code, _, err = run("analyze", f"input={volume}", *GIVEN)
    assert code == 1
    assert "overwrite=true" in err
    assert (tmp_path / "out/summary.json").stat().st_mtime_ns == before
    assert run("analyze", f"input={volume}", *GIVEN, "overwrite=true")[0] == 0
    assert (tmp_path / "out/summary.json").stat().st_mtime_ns > before


def test_overwrite_never_deletes_what_is_not_a_result(run, volume, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/thesis.tex").write_text("years of work")
    code, _, err = run("analyze", f"input={volume}", *GIVEN, "overwrite=true")
    assert code == 1
    assert "Traceback" not in err
    assert (tmp_path / "out/thesis.tex").read_text() == "years of work"


def test_sweep_over_inputs(run, phases, tmp_path):
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / f"{name}.tif", phases)
    code, _, err = run("analyze", "-m", "input=a.tif,b.tif,none.tif", *GIVEN[:2])
    assert code == 1  # one of the three is missing; the others are done all the same
    assert "none.tif" in err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "b"]


def test_terminals_and_materials_on_the_command_line(run, volume, tmp_path):
    code, _, err = run("analyze", f"input={volume}", *GIVEN, "materials.terminals.ion=x-")
    assert code == 0, err
    assert json.loads((tmp_path / "out/summary.json").read_text())["materials"]["terminals"]["ion"] == "x-"
    inline = (
        "materials={phases: {pore: {label: 0, conducts: [gas]}, "
        "one: {label: 1, conducts: [electron], active: true}, "
        "two: {label: 2, conducts: [ion]}, 'three b': {label: 3}}, terminals: {ion: y-, electron: y+}}"
    )
    code, _, err = run("analyze", f"input={volume}", "spacing=[1,1,1]", inline, "output=out2")
    assert code == 0, err
    summary = json.loads((tmp_path / "out2/summary.json").read_text())
    assert list(summary["sample"]["phases"]) == ["pore", "one", "two", "three b"]
    assert len(summary["junctions"]) == 4
    (tmp_path / "mine.yaml").write_text("phases: {a: 0, b: 1, c: 2, d: 3}\n")
    code, _, err = run("analyze", f"input={volume}", "spacing=[1,1,1]", "materials=mine.yaml", "output=out3")
    assert code == 0, err


def test_region_of_interest(run, volume, tmp_path):
    code, _, err = run("analyze", f"input={volume}", *GIVEN, "roi=[[0,20],null,[4,30]]")
    assert code == 0, err
    assert json.loads((tmp_path / "out/summary.json").read_text())["sample"]["shape"] == [20, 36, 26]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("input=missing.tif", "missing.tif"),
        ("input=text.tif", "text.tif"),
        ("input=truncated.tif", "truncated"),
        ("input=uneven", "size"),
        ("input=empty", "empty"),
        ("input=empty.npy", "empty"),
        ("input=slice.tif", "slice"),
        ("input=float.tif", "integer phase labels"),
        ("input=labels.tif", "not in the materials"),
        ("input=thing.docx", "thing.docx"),
        ("spacing=[nan,1,1]", "positive finite"),
        ("spacing=[0,1,1]", "positive finite"),
        ("spacing=[1,-1,1]", "positive finite"),
        ("spacing=[1,1]", "three voxel sizes"),
        ("spacing=null", "spacing="),
        ("materials=unobtainium", "no materials named"),
        ("materials={phases: [}", "not valid YAML"),
        ("materials=custom", "materials need 'phases'"),
        ("materials.terminals.ion=w-", "faces are"),
        ("roi=[[0,4000],null,null]", "40"),
        ("particles.neck_ratio=2", "neck_ratio"),
        ("particles.min_voxels=-1", "min_voxels"),
        ("connectivity=7", "connectivity"),
        ("device=cuda", "device"),
        ("device=toaster", "toaster"),
        ("colour=red", "no setting 'colour'"),
        ("output=/proc/nowhere/result", "/proc/nowhere"),
    ],
)
def test_bad_input(run, tmp_path, volume, phases, change, words):
    (tmp_path / "text.tif").write_text("this is not an image")
    (tmp_path / "thing.docx").write_text("nor is this")
    (tmp_path / "truncated.tif").write_bytes(volume.read_bytes()[:20_000])
    (tmp_path / "empty").mkdir()
    (tmp_path / "uneven").mkdir()
    tifffile.imwrite(tmp_path / "uneven/1.tif", phases[0])
    tifffile.imwrite(tmp_path / "uneven/2.tif", phases[0, 1:])
    np.save(tmp_path / "empty.npy", phases[:0])
    tifffile.imwrite(tmp_path / "slice.tif", phases[0])
    tifffile.imwrite(tmp_path / "float.tif", phases.astype(np.float32))
    tifffile.imwrite(tmp_path / "labels.tif", phases + np.uint8(7))
    settings = {word.split("=")[0]: word for word in (f"input={volume}", *GIVEN)}
    settings[change.split("=")[0]] = change
    refused(run("analyze", *settings.values()), words, tmp_path)


def test_missing_settings(run, volume, tmp_path):
    refused(run("analyze"), "input", tmp_path)
    refused(run("analyze", f"input={volume}", "spacing=[1,1,1]"), "materials are missing", tmp_path)


def test_debug_shows_where(run, tmp_path):
    code, _, err = run("analyze", "input=missing.tif", *GIVEN, "--debug")
    assert code == 1
    assert "Traceback" in err


def test_fewer_than_three_phases_works_and_says_so(run, tmp_path, phases):
    tifffile.imwrite(tmp_path / "two.tif", (phases == 1).astype(np.uint8))
    code, _, err = run("analyze", "input=two.tif", *GIVEN)
    assert code == 0, err
    assert "no triple-phase boundary" in err


def test_no_particles_works_and_says_so(run, tmp_path, phases):
    tifffile.imwrite(tmp_path / "none.tif", np.where(phases == 1, 0, phases))
    code, _, err = run("analyze", "input=none.tif", *GIVEN)
    assert code == 0, err
    assert "no particles of 'active'" in err
    assert json.loads((tmp_path / "out/summary.json").read_text())["particles"]["active"]["count"] == 0


def test_what_does_not_percolate_is_said(run, tmp_path, phases):
    cut = phases.copy()
    cut[:, :, 14:18] = 0
    tifffile.imwrite(tmp_path / "cut.tif", cut)
    code, _, err = run("analyze", "input=cut.tif", *GIVEN, "materials.terminals.ion=x-")
    assert code == 0, err
    assert "the ion network (electrolyte) does not percolate along x" in err
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["percolation"]["electrolyte"]["spanning_fraction"][2] == 0


def test_terminal_on_a_face_without_the_phase(run, tmp_path, phases):
    bare = phases.copy()
    bare[0] = 0
    tifffile.imwrite(tmp_path / "bare.tif", bare)
    code, _, err = run("analyze", "input=bare.tif", *GIVEN)
    assert code == 0, err
    assert "the terminal of ion is at z-, where there is no electrolyte" in err
    assert (
        json.loads((tmp_path / "out/summary.json").read_text())["carriers"]["ion"]["terminal_fraction"] == 0
    )


def test_help_and_version(run):
    assert run("--version")[1].startswith("tripoint 0.")
    assert "analyze" in run("--help")[1]
    code, out, _ = run("analyze", "--help")
    assert code == 0
    assert "tripoint analyze input=PATH materials=NAME" in out
    assert "neck_ratio: 0.9" in out
    assert run("bogus")[0] == 2
    assert run()[0] == 2


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_leaves_no_half_result(tmp_path, stop):
    """Stop the run while it writes; only what is hidden or nothing may be left, and the next run succeeds."""
    rng = np.random.default_rng(0)
    tifffile.imwrite(tmp_path / "noise.tif", rng.integers(0, 4, (64, 64, 64), np.uint8))
    command = [sys.executable, "-m", "tripoint.cli", "analyze", "input=noise.tif", *GIVEN]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if "volume.zarr" in line:
            break
    time.sleep(0.3)
    process.send_signal(stop)
    err = process.communicate(timeout=120)[1]
    assert process.returncode != 0
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()
    if stop != signal.SIGKILL:
        assert [path.name for path in tmp_path.iterdir()] == ["noise.tif"]
    outcome = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["noise.tif", "out"]


def test_disk_full(run, tmp_path, volume):
    """On a file system of 256 kB the result does not fit: one sentence, nothing left."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a small file system here")
    try:
        code, _, err = run("analyze", f"input={volume}", *GIVEN[:2], f"output={small}/out")
        assert code == 1
        assert "space" in err
        assert "Traceback" not in err
        assert not list(small.iterdir())
    finally:
        subprocess.run(["umount", str(small)], check=True)
