"""The comparison of two models: an interval that finds a difference, and none where there is none."""

import numpy as np
import pytest

from model.training.compare import compare, compare_flags


def scores(seed: int, truth: np.ndarray, strength: float) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=len(truth)) + strength * truth


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return np.arange(4_000) % 40 == 0


def customers(truth: np.ndarray) -> np.ndarray:
    return (np.arange(len(truth)) // 4).astype(str)


def test_a_better_challenger_is_found(truth: np.ndarray) -> None:
    found = compare(truth, customers(truth), scores(1, truth, 4), scores(2, truth, 2), seed=1)
    assert 0 < found.low < found.challenger - found.champion < found.high
    assert found.verdict == "The challenger is better."
    turned = compare(truth, customers(truth), scores(2, truth, 2), scores(1, truth, 4), seed=1)
    assert (turned.low, turned.high) == pytest.approx((-found.high, -found.low))
    assert turned.verdict == "The challenger is worse."
    assert (found.transactions, found.frauds) == (4_000, 100)


def test_equally_good_models_show_no_difference(truth: np.ndarray) -> None:
    found = compare(truth, customers(truth), scores(1, truth, 3), scores(2, truth, 3), seed=1)
    assert found.low < 0 < found.high
    assert found.verdict == "No difference is shown."


def test_the_same_arguments_give_the_same_interval(truth: np.ndarray) -> None:
    arguments = (truth, customers(truth), scores(1, truth, 3), scores(2, truth, 2))
    assert compare(*arguments, seed=7) == compare(*arguments, seed=7) != compare(*arguments, seed=8)


def test_more_of_the_same_from_each_customer_does_not_narrow_the_interval(truth: np.ndarray) -> None:
    both = scores(1, truth, 3), scores(2, truth, 2)
    once = compare(truth, customers(truth), *both, seed=1)
    again = compare(np.tile(truth, 4), np.tile(customers(truth), 4), *(np.tile(one, 4) for one in both), seed=1)
    assert (again.low, again.high) == pytest.approx((once.low, once.high))


def test_flags_of_which_more_are_fraud_are_better(truth: np.ndarray) -> None:
    lavish = truth | (np.random.default_rng(3).random(len(truth)) < 0.1)
    found = compare_flags(truth, customers(truth), truth, lavish, seed=1)
    precision = truth.sum() / lavish.sum()
    assert (found.precision.challenger, found.precision.champion) == (1, pytest.approx(precision))
    assert 0 < found.precision.low < 1 - precision < found.precision.high
    assert (found.recall.low, found.recall.high) == (0, 0)
    assert (found.f1.challenger, found.f1.champion) == (1, pytest.approx(2 * precision / (precision + 1)))
    assert found.is_better
    turned = compare_flags(truth, customers(truth), lavish, truth, seed=1)
    assert (turned.precision.low, turned.is_better) == (pytest.approx(-found.precision.high), False)


@pytest.mark.parametrize(("caught", "better"), [(0.8, True), (0.05, False)])
def test_precision_makes_up_for_what_is_missed_more_but_not_for_most(
    truth: np.ndarray, caught: float, better: bool
) -> None:
    lavish = truth | (np.random.default_rng(3).random(len(truth)) < 0.1)
    timid = truth & (np.random.default_rng(4).random(len(truth)) < caught)
    found = compare_flags(truth, customers(truth), timid, lavish, seed=1)
    assert found.precision.low > 0
    assert found.recall.high < 0
    assert found.is_better is better


def test_a_model_that_flags_nothing_is_not_better(truth: np.ndarray) -> None:
    nothing = np.zeros(len(truth), bool)
    found = compare_flags(truth, customers(truth), nothing, truth, seed=1)
    assert np.isnan(found.precision.challenger)
    assert not found.is_better
