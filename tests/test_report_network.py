"""What summary and report say of the currents through the network."""

import json
from types import SimpleNamespace

import pytest

from small_graphs import chain
from tripoint.io.tables import plain
from tripoint.materials import Materials, Phase
from tripoint.percolation import paths
from tripoint.physics import summarize_network
from tripoint.report import transport
from tripoint.report.network import critical_markers, critical_rows, doubts, network_rows
from tripoint.transport import network

ELECTRON = Materials((Phase(1, "solid", ("electron",)),), terminals={"electron": "z+"})


def summary_of(nodes, contacts, shape):
    one = (1.0, 1.0, 1.0)
    nodes, contacts = paths(nodes, contacts, ELECTRON, shape, one)
    contacts = contacts.assign(source_phase="solid", target_phase="solid")
    return {"transport": {"network": summarize_network(network(nodes, contacts, ELECTRON, shape, one), 2)}}


def test_summary_and_rows_of_a_bar():
    summary = summary_of(*chain([5, 5, 10], 4), (20, 4, 4))
    entry = summary["transport"]["network"]["electron"]
    assert entry["effective_conductivity"] == pytest.approx(1)
    assert entry["tortuosity_factor"] == pytest.approx(1)
    assert (entry["faces"], entry["regions"], entry["contacts"], entry["bridges"]) == (["z+", "z-"], 3, 2, 2)
    assert entry["critical"][0]["centroid"] == [10.0, 2.0, 2.0]
    assert json.loads(json.dumps(plain(summary), allow_nan=False)) == plain(summary)
    (row,) = network_rows(summary, ELECTRON)
    assert (row["name"], row["conductivity"], row["contacts"]) == ("electron", "1.00", "2")
    first = critical_rows(summary, "electron")[0]
    assert (first["regions"], first["kind"], first["phases"]) == ("2 – 3", "bridge", "solid – solid")
    assert first["current"].startswith(("100", ">"))  # but for the last bits
    assert len(critical_rows(summary, "electron", "critical_bridges")) == 2
    markers = critical_markers(summary)["electron"]
    assert (markers["count"], markers["regions"][0]) == (2, "2 – 3")


def test_what_does_not_span_is_said_so():
    nodes, contacts = chain([5, 5], 4)
    summary = summary_of(nodes, contacts[:0], (10, 4, 4))
    entry = summary["transport"]["network"]["electron"]
    assert entry["tortuosity_factor"] is None
    assert not entry["critical"]
    assert network_rows(summary, ELECTRON)[0]["conductivity"] == "does not span"
    assert critical_rows(summary, "electron") == []
    assert critical_rows({}, "ion") == network_rows({}, ELECTRON) == []
    assert critical_markers(summary)["electron"]


@pytest.mark.parametrize(
    ("voxels", "text", "doubt"),
    [
        ({"electron": {"z": 0.25}}, "4.00", {"electron": "4"}),
        ({"solid": {"z": 2.5}}, "0.400", {"electron": "0.4"}),
        ({"electron": {"z": 0.8, "y": 9.0}}, "1.25", {}),
        ({"electron": {"y": 9.0}}, "–", {}),
        ({"electron": {"z": None}}, "–", {}),
        ({}, "–", {}),
    ],
)
def test_network_is_held_against_the_voxels(voxels, text, doubt):
    summary = summary_of(*chain([5, 5, 10], 4), (20, 4, 4))
    summary["transport"]["tortuosity"] = voxels
    assert network_rows(summary, ELECTRON)[0]["over_voxels"] == text
    assert doubts(summary, ELECTRON) == doubt


def test_a_network_without_conductivities_has_no_unit():
    """It is solved at a conductivity of 1, which is no S/m."""
    summary = {"transport": {"tortuosity": {"electron": {"z": 2.0}}}}
    result = SimpleNamespace(summary=summary, sample=SimpleNamespace(materials=ELECTRON))
    assert transport.section(result)["rows"][0]["unit"] == "relative"
