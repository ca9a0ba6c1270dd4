"""Models without a graph, and how predictions are scored."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, r2_score
from threadpoolctl import threadpool_limits

from learning import graph_of, graphs
from tripoint.errors import InputError
from tripoint.learn import baselines, features
from tripoint.learn.scores import bootstrap, classification_scores, scores
from tripoint.learn.targets import MeanActivity


def made(count=600, seed=0):
    """Return particles of which the first feature tells the activity, the second nothing."""
    random = np.random.default_rng(seed)
    values = random.normal(size=(count, 3))
    values[:, 2] = 1.0
    values[::7, 1] = np.nan
    activity = 10 ** (0.5 * np.sin(values[:, 0])) - features.FLOOR
    sample = random.choice(["a", "b", "c"], count).astype(object)
    return baselines.ParticleTable(
        ("tells", "noise", "constant"),
        values,
        features.log_activity(activity),
        activity,
        activity < 0,
        sample,
    )


@pytest.mark.parametrize(("name", "limit"), [("ridge", 0.15), ("gradient_boosting", 0.06), ("mlp", 0.12)])
def test_baselines_learn_what_a_feature_tells(name, limit):
    train, test = made(), made(seed=1)
    with threadpool_limits(1):  # trees of few particles wait for one another
        model = baselines.fit_baseline(name, train)
    error = scores(test.activity, model(test.features))["mae"]
    nothing = scores(test.activity, baselines.fit_baseline("median", train)(test.features))["mae"]
    assert error < limit < 0.25 < nothing


def test_baselines_are_those_of_their_seed():
    train = made(200)
    one, same, other = (baselines.fit_baseline("mlp", train, seed)(train.features) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0


def test_particles_of_samples_stand_below_one_another():
    known = graphs(2)
    table = baselines.ParticleTable.of(known, list(known), "size")
    found = features.targets(graph_of(1))
    last = table.sample == "made_1"
    np.testing.assert_array_equal(table.activity[last], found.activity)
    whole = features.region_features(graph_of(1), "size")
    assert table.names == whole.names
    np.testing.assert_array_equal(table.features[last], whole.values[found.rows])
    with pytest.raises(InputError, match="no sample"):
        baselines.ParticleTable.of(known, [])
    with pytest.raises(InputError, match="no baseline 'forest'; the baselines are median"):
        baselines.fit_baseline("forest", table)


def test_what_is_known_of_a_sample_is_pooled_over_its_particles():
    graph = graph_of(1)
    found = baselines.pooled_features(graph, "own")
    particles = features.region_features(graph, "own")
    rows = features.active_rows(graph)
    depth = particles.values[rows, particles.names.index("depth_ion")]
    assert found["mean_depth_ion"] == pytest.approx(np.nanmean(depth))
    assert found["sd_depth_ion"] == pytest.approx(np.nanstd(depth))
    fractions = {name: value for name, value in found.items() if name.startswith("fraction_")}
    assert sum(fractions.values()) == pytest.approx(1)
    voxels = graph.nodes.groupby("phase")["voxels"].sum() / graph.nodes["voxels"].sum()
    assert fractions["fraction_active"] == pytest.approx(voxels["active"])
    table = baselines.table_of(graphs(2), ["made_0", "made_1"], "own", "mean_activity")
    assert table.names == tuple(found)
    np.testing.assert_allclose(table.features[1], list(found.values()))
    assert table.logarithm[1] == MeanActivity().of(graph)


@pytest.mark.parametrize("name", ["ridge", "gradient_boosting", "mlp"])
def test_classifiers_learn_what_a_feature_tells(name):
    train, test = made(), made(seed=1)
    train, test = (replace(table, inactive=table.features[:, 0] > 1) for table in (train, test))
    with threadpool_limits(1):
        probability = baselines.fit_baseline(name, train, target="inactive")(test.features)
    assert classification_scores(test.inactive, probability)["roc_auc"] > 0.98
    share = baselines.fit_baseline("median", train, target="inactive")(test.features)
    np.testing.assert_allclose(share, train.inactive.mean())


def test_scores_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    activity = random.normal(1, 1, 50)
    predicted = random.normal(0, 0.3, 50)
    found = scores(activity, predicted)
    truth = np.log10(np.maximum(activity, 0) + 0.03)
    assert found["mae"] == pytest.approx(mean_absolute_error(truth, predicted))
    assert found["r2"] == pytest.approx(r2_score(truth, predicted))
    linear = np.maximum(10**predicted - 0.03, 0)
    assert found["linear_mae"] == pytest.approx(mean_absolute_error(np.maximum(activity, 0), linear))
    assert np.isnan(scores(np.ones(3), np.ones(3))["r2"])
    with pytest.raises(InputError, match="2 predictions for 3 particles"):
        scores(np.ones(3), np.ones(2))


def test_intervals_are_those_of_samples_not_of_particles():
    """A thousand particles of eight samples whose means differ are eight draws."""
    random = np.random.default_rng(0)
    sample = np.repeat([f"s{number}" for number in range(8)], 125).astype(object)
    mean = random.normal(0, 1, 8)
    values = np.repeat(mean, 125) + random.normal(0, 0.1, 1000)
    low, high = bootstrap(sample, lambda rows: float(values[rows].mean()))
    expected = 1.96 * mean.std() / np.sqrt(8)
    assert low < values.mean() < high
    assert (high - low) / 2 == pytest.approx(expected, rel=0.15)
    assert (low, high) == bootstrap(sample, lambda rows: float(values[rows].mean()))
