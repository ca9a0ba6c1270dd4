"""The command line as a user meets it: what it writes, and one clear sentence for every bad input."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

from backends import has_gpu
from tripoint import cli, synth
from tripoint.cli.messages import explained

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
    code, out, err = run("analyze", f"input={volume}", *GIVEN, "device=cpu")
    assert code == 0, err
    assert out.strip().endswith("report.html")
    assert {path.name for path in (tmp_path / "out").iterdir()} == OUTPUTS
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["schema"] == 1
    assert summary["sample"]["name"] == "cathode"
    assert summary["run"]["device"] == "cpu"
    assert "device 'cpu'" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cathode.tif", "out"]


def test_auto_takes_the_gpu_where_there_is_one_and_says_which(gpu, run, phases, tmp_path):
    tifffile.imwrite(tmp_path / "cathode.tif", phases[:24, :20, :22])
    code, _, err = run("analyze", "input=cathode.tif", *GIVEN, "subvolumes=0")
    assert code == 0, err
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["run"]["device"] == "cuda"
    name = summary["run"]["device_name"]
    assert sum(line.startswith("device: ") for line in err.splitlines()) == 1, err
    assert f"device: {name} (" in err
    assert f"on the device '{name}'" in err
    assert {path.name for path in (tmp_path / "out").iterdir()} == OUTPUTS


def test_without_a_gpu_auto_says_why(run, volume):
    if has_gpu():
        pytest.skip("there is a GPU")
    code, _, err = run("analyze", f"input={volume}", *GIVEN, "subvolumes=0")
    assert code == 0, err
    assert [line for line in err.splitlines() if line.startswith("device: cpu (no GPU: ")], err
    assert err.count("device: ") == 1


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


BAD = [
    ("input=absent.tif", "there is no file"),
    ("input=text.tif", "not a TIFF"),
    ("input=half.tif", "truncated"),
    ("input=uneven", "size"),
    ("input=folder", "no slices"),
    ("input=nothing.npy", "is empty"),
    ("input=flat.tif", "single slice"),
    ("input=float.tif", "integer phase labels"),
    ("input=labels.tif", "not in the materials"),
    ("input=thing.docx", "is not known"),
    ("input=null", "the setting 'input' is missing"),
    ("input=5", "there is no file"),
    ("input=a.tif,b.tif", "a.tif,b.tif"),
    ("spacing=[nan,1,1]", "positive finite"),
    ("spacing=[0,1,1]", "positive finite"),
    ("spacing=[1,-1,1]", "positive finite"),
    ("spacing=[1e300,1e300,1e300]", "positive finite"),
    ("spacing=[1,1]", "three voxel sizes"),
    ("spacing=null", "spacing="),
    ("spacing=[1,1", "the settings do not fit"),
    ("materials=unobtainium", "no materials named"),
    ("materials={phases: [}", "not valid YAML"),
    ("materials=custom", "materials need 'phases'"),
    ("materials.terminals.ion=w-", "faces are"),
    ("materials.terminals=5", "expected a face per carrier"),
    ("materials.junctions=5", "expected a list of triples"),
    ("materials.junctions=[5]", "expected a list of triples"),
    ("materials.phases.active.conducts=5", "expected a list of carriers"),
    ("materials.phases.active.conductivity=5", "expected positive numbers"),
    ("materials.phases.active.conductivity={electron: abc}", "expected positive numbers"),
    ("roi=[[0,4000],null,null]", "40"),
    ("roi=5", "roi"),
    ("particles=5", "expected a group of settings"),
    ("particles.neck_ratio=2", "neck_ratio is 2"),
    ("particles.neck_ratio=abc", "neck_ratio is 'abc'"),
    ("particles.neck_ratio=null", "neck_ratio is None"),
    ("particles.min_voxels=-1", "min_voxels is -1"),
    ("connectivity=7", "connectivity is 7"),
    pytest.param("device=cuda", "GPU", marks=pytest.mark.skipif(has_gpu(), reason="there is a GPU")),
    ("device_memory=0", "device_memory is 0"),
    ("device=toaster", "use cpu, cuda or auto"),
    ("colour=red", "no setting 'colour'"),
    ("overwrite=maybe", "expected true or false"),
    ("output=null", "the setting 'output' is missing"),
    ("output=/proc/nowhere/result", "/proc/nowhere"),
]


@pytest.mark.parametrize(("change", "words"), BAD)
def test_bad_input(run, tmp_path, volume, phases, change, words):
    (tmp_path / "text.tif").write_text("this is not an image")
    (tmp_path / "thing.docx").write_text("nor is this")
    (tmp_path / "half.tif").write_bytes(volume.read_bytes()[:20_000])
    (tmp_path / "folder").mkdir()
    (tmp_path / "uneven").mkdir()
    tifffile.imwrite(tmp_path / "uneven/1.tif", phases[0])
    tifffile.imwrite(tmp_path / "uneven/2.tif", phases[0, 1:])
    np.save(tmp_path / "nothing.npy", phases[:0])
    tifffile.imwrite(tmp_path / "flat.tif", phases[0])
    tifffile.imwrite(tmp_path / "float.tif", phases.astype(np.float32))
    tifffile.imwrite(tmp_path / "labels.tif", phases + np.uint8(7))
    settings = {word.split("=")[0]: word for word in (f"input={volume}", *GIVEN)}
    settings[change.split("=")[0]] = change
    refused(run("analyze", *settings.values()), words, tmp_path)


@pytest.mark.parametrize(
    "name", ["scan(1).tif", "µCT.tif", "my file, no 2.tif", "a=b.tif", "{x}.tif", "it's.tif"]
)
def test_any_file_name(run, tmp_path, phases, name):
    tifffile.imwrite(tmp_path / name, phases)
    code, _, err = run("analyze", f"input={name}", *GIVEN)
    assert code == 0, err


@pytest.mark.parametrize("word", ["no", "off", "'false'", "maybe", "2"])
def test_only_true_overwrites(run, volume, tmp_path, word):
    assert run("analyze", f"input={volume}", *GIVEN)[0] == 0
    before = (tmp_path / "out/summary.json").read_text()
    code, _, err = run("analyze", f"input={volume}", *GIVEN, f"overwrite={word}")
    assert code == 1
    assert "expected true or false" in err or "overwrite=true" in err
    assert (tmp_path / "out/summary.json").read_text() == before


def test_runs_of_a_sweep_do_not_replace_each_other(run, volume, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sweep = ("-m", f"input={volume}", *GIVEN[:2], "particles.neck_ratio=0.7,0.9", "overwrite=true")
    code, _, err = run("analyze", *sweep)
    assert code == 1
    assert "two runs of this sweep would write to" in err
    outputs = "output=out2/${stem:${input}}_${particles.neck_ratio}"
    code, _, err = run("analyze", *sweep[1:], outputs, "-m")  # -m may stand anywhere
    assert code == 0, err
    assert sorted(path.name for path in (tmp_path / "out2").iterdir()) == ["cathode_0.7", "cathode_0.9"]
    assert not list(tmp_path.glob("tripoint-sweep-*"))


def test_terminals_can_be_taken_away(run, volume, tmp_path):
    code, _, err = run("analyze", f"input={volume}", *GIVEN, "materials.terminals={electron: y+}")
    assert code == 0, err
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["materials"]["terminals"] == {"electron": "y+"}
    assert "no terminal is set for ion" in err
    code, _, err = run("analyze", f"input={volume}", *GIVEN, "materials.terminals={}", "overwrite=true")
    assert code == 0, err
    assert json.loads((tmp_path / "out/summary.json").read_text())["utilization"] is None


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


@pytest.mark.parametrize(
    "task", ["analyze", "synth", "register", "spectro", "db", "train", "predict", "explain", "segment"]
)
def test_every_task_lists_its_settings(run, task):
    if task in ("train", "predict", "explain"):
        pytest.importorskip("torch_geometric")
    code, out, err = run(task, "--help")
    assert code == 0, err
    assert "Settings and their defaults" in out or task == "db"


def _hear_interrupts():
    """Undo what shells do to background jobs, which ignore Ctrl-C, and nohup, which ignores a hang-up."""
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_DFL)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_an_interrupted_run_leaves_no_half_result(tmp_path, stop):
    """Stop the run while it writes; only what is hidden or nothing may be left, and the next run succeeds."""
    rng = np.random.default_rng(0)
    tifffile.imwrite(tmp_path / "noise.tif", rng.integers(0, 4, (64, 64, 64), np.uint8))
    command = [sys.executable, "-m", "tripoint.cli", "analyze", "input=noise.tif", *GIVEN]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hear_interrupts,  # noqa: PLW1509  # no threads of ours run here
    )
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


def test_a_missing_extra_is_one_sentence():
    error = ModuleNotFoundError("No module named 'torch'", name="torch.nn")
    assert explained(error).startswith("this needs the extra learn: pip install 'tripoint[learn]'")
    assert "not foreseen" in explained(ModuleNotFoundError("No module named 'other'", name="other"))


def test_no_setting_is_called_like_a_group_of_files():
    """Hydra takes such a word for the name of a file in the group, and refuses it."""
    conf = Path(__file__).resolve().parents[1] / "conf"
    groups = {folder.name for folder in conf.iterdir() if folder.is_dir()}
    for file in conf.glob("*.yaml"):
        settings = yaml.safe_load(file.read_text())
        named = {
            key.split("@")[0]
            for entry in settings.get("defaults", [])
            if isinstance(entry, dict)
            for key in entry
        }
        assert not groups & set(settings) - named, file.name
