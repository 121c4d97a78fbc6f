"""The scorer refuses what it can't trust, and its reasons are what the model used."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn

from fraudstream.settings import PROJECT_DIR
from model.features.columns import FEATURE_NAMES, SPECS
from model.serving.artifact import ARTIFACT_FILE, METADATA_FILE, ArtifactError, read_folder, sha256_of
from model.serving.scorer import Scorer
from model.serving.serialization import dump
from model.training.fit import fit

PRETRAINED = PROJECT_DIR / "model" / "pretrained"


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer.load(PRETRAINED)


def random_features(rows: int) -> np.ndarray:
    random = np.random.default_rng(1)
    features = random.lognormal(0, 2, (rows, len(FEATURE_NAMES)))
    features[random.random(features.shape) < 0.2] = np.nan
    for index, name in enumerate(FEATURE_NAMES):
        if SPECS[name].unit in ("flag", "method"):
            features[:, index] = random.integers(0, 2, rows)
    return features


def changed(**fields: Any) -> bytes:
    return json.dumps(json.loads((PRETRAINED / METADATA_FILE).read_bytes()) | fields).encode()


def test_the_shipped_model_scores(scorer: Scorer) -> None:
    scores = scorer.score(random_features(50))
    assert scores.shape == (50,)
    assert scores.dtype == np.float64
    assert ((scores >= 0) & (scores <= 1)).all()
    assert set(scorer.features) <= set(FEATURE_NAMES), "the code may compute more by now"
    assert len(scorer.score(random_features(0))) == 0


def test_the_shipped_model_keeps_its_promise(scorer: Scorer) -> None:
    for history, metrics in scorer.metadata.metrics["histories"].items():
        assert metrics["average_precision"] >= 0.75, history


def test_a_row_alone_scores_as_in_a_batch(scorer: Scorer) -> None:
    features = random_features(64)
    alone = np.concatenate([scorer.score(row[None]) for row in features])
    assert alone.tobytes() == scorer.score(features).tobytes()


def test_contributions_add_to_the_log_odds(scorer: Scorer) -> None:
    features = random_features(200)
    contributions, base = scorer.contributions(features)
    scores = scorer.score(features)
    np.testing.assert_allclose(contributions.sum(axis=1) + base, np.log(scores / (1 - scores)), rtol=0, atol=1e-6)


def test_contributions_add_to_calibrated_log_odds_too() -> None:
    artifact, _ = read_folder(PRETRAINED)
    calibration = {"slope": 0.8, "intercept": -0.3}
    scorer = Scorer.from_bytes(artifact, changed(calibration=calibration))
    features = random_features(50)
    contributions, base = scorer.contributions(features)
    scores = scorer.score(features)
    np.testing.assert_allclose(contributions.sum(axis=1) + base, np.log(scores / (1 - scores)), rtol=0, atol=1e-6)
    plain = Scorer.from_bytes(artifact, changed(calibration={})).score(features)
    np.testing.assert_allclose(np.log(scores / (1 - scores)), 0.8 * np.log(plain / (1 - plain)) - 0.3, atol=1e-9)


def test_reasons_are_the_strongest_contributions_in_words(scorer: Scorer) -> None:
    features = random_features(20)
    contributions, _ = scorer.contributions(features)
    for row, parts, reasons in zip(features, contributions, scorer.reasons(features, "EUR"), strict=True):
        told = parts[(parts > 0) & ~np.isnan(scorer.own(row[None])[0])]
        assert [reason.contribution for reason in reasons] == sorted(told, reverse=True)[:3]
        for reason in reasons:
            assert reason.value == row[FEATURE_NAMES.index(reason.feature)]
            assert reason.text
            assert "{" not in reason.text


def test_a_tampered_artifact_is_refused() -> None:
    artifact, metadata = read_folder(PRETRAINED)
    with pytest.raises(ArtifactError, match="SHA-256"):
        Scorer.from_bytes(artifact[:-1] + bytes([artifact[-1] ^ 1]), metadata)


def test_a_pickle_in_the_artifacts_place_is_refused() -> None:
    import skops.io

    class Foreign:
        pass

    artifact = skops.io.dumps(Foreign())
    with pytest.raises(ArtifactError, match="trusted"):
        Scorer.from_bytes(artifact, changed(sha256=sha256_of(artifact)))


def test_bytes_that_are_no_model_are_refused() -> None:
    with pytest.raises(ArtifactError, match="isn't a skops file"):
        Scorer.from_bytes(b"no model", changed(sha256=sha256_of(b"no model")))


def test_other_features_are_refused_by_name() -> None:
    artifact, _ = read_folder(PRETRAINED)
    features = [*FEATURE_NAMES[1:], "phase_of_moon"]
    with pytest.raises(ArtifactError, match=r"doesn't compute \(\['phase_of_moon'\]\)"):
        Scorer.from_bytes(artifact, changed(features=features))


@pytest.mark.parametrize("features", [[], [FEATURE_NAMES[0]] * len(FEATURE_NAMES)])
def test_metadata_that_name_no_feature_or_one_twice_are_refused(features: list[str]) -> None:
    artifact, _ = read_folder(PRETRAINED)
    with pytest.raises(ArtifactError, match="names no feature, or one twice"):
        Scorer.from_bytes(artifact, changed(features=features))


def test_metadata_of_fewer_features_than_the_artifact_has_are_refused(scorer: Scorer) -> None:
    artifact, _ = read_folder(PRETRAINED)
    with pytest.raises(ArtifactError, match=f"{len(scorer.features)} features, and metadata.json names 2"):
        Scorer.from_bytes(artifact, changed(features=list(FEATURE_NAMES[:2])))


def test_a_model_of_other_features_gets_these_in_its_own_order() -> None:
    """Trained on two of them, in another order than the code's; whatever the others are, scores and reasons stay."""
    names = ("hour_of_day", "amount")
    features = random_features(400)
    own = features[:, [FEATURE_NAMES.index(name) for name in names]]
    own[:50, 0] = np.nan
    features[:, [FEATURE_NAMES.index(name) for name in names]] = own
    model = fit(own, own[:, 1] > np.nanmedian(own[:, 1]), 1)
    artifact = dump(model)
    described = changed(features=list(names), sha256=sha256_of(artifact), usual={"amount": 5.0}, calibration={})
    scorer = Scorer.from_bytes(artifact, described)
    expected = model.predict_proba(own)[:, 1]
    np.testing.assert_allclose(scorer.score(features), expected, rtol=1e-12)
    assert scorer.contributions(features)[0].shape == (400, 2)
    reasons = scorer.reasons(features, "EUR")
    assert {reason.feature for each in reasons for reason in each} == set(names)
    assert "hour_of_day" not in {reason.feature for each in reasons[:50] for reason in each}
    others = random_features(400) * 7
    others[:, [FEATURE_NAMES.index(name) for name in names]] = own
    assert scorer.score(others).tobytes() == scorer.score(features).tobytes()


def test_another_scikit_learn_is_refused_saying_both_versions() -> None:
    artifact, _ = read_folder(PRETRAINED)
    with pytest.raises(ArtifactError, match=rf"trained with scikit-learn 1\.0.*{sklearn.__version__}.*train the model"):
        Scorer.from_bytes(artifact, changed(libraries={"scikit-learn": "1.0"}))


def test_a_missing_file_and_damaged_metadata_are_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=ARTIFACT_FILE):
        Scorer.load(tmp_path)
    with pytest.raises(ArtifactError, match=METADATA_FILE):
        Scorer.from_bytes(b"", b'{"version": 3}')
