"""Intervals hold what they promise for particles of new samples, and say where they promise nothing."""

import logging

import numpy as np
import pytest

from tripoint.errors import InputError
from tripoint.learn.conformal import Conformal, Estimate, answer
from tripoint.learn.targets import Activity, Inactive, MeanActivity


def errors(random, samples, particles=30):
    """Return errors whose size is that of their sample: particles of one are no independent draws."""
    scale = random.lognormal(0, 0.7, samples)
    return [np.abs(random.normal(0, size, random.integers(1, particles))) for size in scale]


@pytest.mark.parametrize("level", [0.5, 0.8, 0.9])
def test_coverage_on_new_samples_is_what_is_promised(level):
    random = np.random.default_rng(0)
    held = []
    for _ in range(400):
        conformal = Conformal.of(errors(random, 20))
        assert conformal.promised(level)
        held.append(np.mean(errors(random, 1)[0] <= conformal.quantile(level)))
    sure = 2 * np.std(held) / np.sqrt(len(held))
    assert level - sure <= np.mean(held) <= level + 1 / 21 + sure


def test_taking_particles_for_independent_would_promise_too_much():
    """A large sample that is easy would outvote the others; here each has the same say."""
    parts = [np.full(10_000, 0.01), np.full(3, 1.0), np.full(3, 2.0), np.full(3, 3.0)]
    conformal = Conformal.of(parts)
    assert np.quantile(np.concatenate(parts), 0.6) == 0.01
    assert conformal.quantile(0.6) == 2.0
    assert conformal.weights.sum() == pytest.approx(4)


def test_few_samples_promise_little():
    conformal = Conformal.of([np.array([1.0, 2.0]), np.array([3.0])])
    assert conformal.promised(0.66)
    assert not conformal.promised(0.9)
    assert conformal.quantile(0.5) == 3.0  # 3/2 of 2 samples
    assert conformal.quantile(0.9) == 3.0
    for level in (0, 1, 1.5):
        with pytest.raises(InputError, match="expected one between 0 and 1"):
            conformal.quantile(level)
    for parts in ([], [np.zeros(0)]):
        with pytest.raises(InputError, match="no samples to calibrate"):
            Conformal.of(parts)
    again = Conformal.from_mapping(conformal.to_mapping())
    assert again.quantile(0.5) == 3.0


def test_intervals_are_wider_where_models_disagree():
    conformal = Conformal.of([np.array([1.0, 2.0])] * 20)
    spread = np.array([0.0, 0.1, 0.3])
    low, high = conformal.interval(Estimate(np.arange(3), np.zeros(3), spread), 0.9)
    np.testing.assert_allclose(high, 2 * (spread + spread.mean()))
    np.testing.assert_allclose(low, -high)
    alike = Estimate(np.arange(3), np.zeros(3), np.zeros(3))
    np.testing.assert_allclose(conformal.interval(alike, 0.9)[1], 2)


def test_answers_have_the_columns_of_their_target():
    conformal = Conformal.of([np.array([0.5])] * 20)
    estimate = Estimate(np.array([4, 7]), np.array([-1.5, 0.2]), np.zeros(2))
    found = answer(Activity(), estimate, conformal)
    assert list(found) == [
        "node", "predicted_log_activity", "predicted_activity", "spread",
        "low_log_activity", "high_log_activity", "low_activity", "high_activity",
    ]  # fmt: skip
    assert found["low_log_activity"][0] == pytest.approx(np.log10(0.03))
    assert found["low_activity"][0] == 0
    np.testing.assert_allclose(found["high_activity"], 10 ** np.array([-1, 0.7]) - 0.03)
    assert list(answer(Inactive(), estimate, None)) == ["node", "predicted_inactive"]
    figure = answer(MeanActivity(), Estimate(None, np.array([-5.0]), np.zeros(1)), conformal)
    assert len(figure) == 1
    assert figure["low_mean_activity"][0] == pytest.approx(10**-5.5)


def test_warnings_say_how_many_samples_are_wanted(caplog):
    class Exact:
        target = MeanActivity()

        def estimate(self, graph):
            return Estimate(None, np.array([0.0]), np.zeros(1))

    from tripoint.learn import conformal

    with caplog.at_level(logging.WARNING), pytest.MonkeyPatch.context() as patch:
        patch.setattr(MeanActivity, "of", lambda self, graph: float(graph))
        found = conformal.calibrate(Exact(), {"a": 0.1, "b": -0.3}, ("a", "b"))
        table = conformal.coverage(Exact(), found, {"a": 0.1, "b": -0.3, "c": 1.0}, ("a", "b", "c"), (0.5,))
    np.testing.assert_allclose(found.errors, [0.1, 0.3])
    assert "intervals rest on 2 samples" in caplog.text
    assert "set at least 9 aside" in caplog.text
    assert table["coverage"][0] == pytest.approx(2 / 3)
    assert table["width"][0] == pytest.approx(0.6)
