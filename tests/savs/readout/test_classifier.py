"""SavsClassifier follows scikit-learn: its own checks, and head vectors in its tools."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import savs
from tests.savs.data.drawing import head_vectors

CLASSES = ("cat", "dog", "owl")


@pytest.fixture(scope="module")
def vectors() -> savs.HeadVectors:
    """Sixty items of three classes in six heads, of which the second and fifth tell them apart."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(60, 2, 3, 4)).astype(np.float32)
    for row in range(60):
        values[row, :, 1, row % 3] += 4
    return head_vectors(values.reshape(60, -1), (3, 4), (3, 4))


LABELS = [CLASSES[row % 3] for row in range(60)]


@pytest.mark.parametrize("mode", ["auto", "reference", "hec"])
@pytest.mark.filterwarnings("ignore")
def test_it_passes_the_checks_of_scikit_learn(mode: str) -> None:
    checks = check_estimator(savs.SavsClassifier(mode), on_fail=None)

    assert [c["check_name"] for c in checks if c["status"] == "failed"] == []
    assert sum(c["status"] == "passed" for c in checks) > 40


@pytest.mark.parametrize("mode", ["auto", "ridge", "reference", "hec"])
def test_it_answers_as_fit_and_classify_do(vectors: savs.HeadVectors, mode: str) -> None:
    heads = 3 if mode in ("reference", "hec") else None
    answers = savs.classify(savs.fit(vectors, LABELS, heads, mode), vectors)  # type: ignore[call-overload]

    found = savs.SavsClassifier(mode, heads=heads).fit(vectors, LABELS)

    assert found.predict(vectors).tolist() == [answer.prediction for answer in answers]
    shares = [answer.scores or savs.shares(answer.votes) for answer in answers]
    expected = [[one[name] for name in CLASSES] for one in shares]
    assert np.allclose(found.predict_proba(vectors), expected, atol=1e-6)
    assert savs.classify(found.readout_, vectors).to_pandas()["prediction"].tolist() == list(
        found.predict(vectors)
    )


def test_the_heads_of_an_array_are_its_second_axis_or_told_by_head_dim(vectors: savs.HeadVectors) -> None:
    told = savs.SavsClassifier("reference", heads=2, head_dim=4).fit(vectors.values, LABELS)
    shaped = savs.SavsClassifier("reference", heads=2).fit(vectors.values.reshape(60, 6, 4), LABELS)

    assert told.readout_.heads.tolist() == shaped.readout_.heads.tolist()
    assert {head for _, head in told.readout_.heads.tolist()} == {1, 4}
    assert shaped.predict(vectors.values).tolist() == told.predict(vectors.values).tolist()


@pytest.mark.parametrize("labels", [[0, 1, 2], [True, False], [2.0, -1.0]])
def test_labels_may_be_numbers(vectors: savs.HeadVectors, labels: list[object]) -> None:
    y = [labels[row % len(labels)] for row in range(60)]

    found = savs.SavsClassifier().fit(vectors, y)

    assert found.classes_.tolist() == sorted(labels)  # type: ignore[type-var]
    assert set(found.predict(vectors).tolist()) <= set(labels)


def test_head_vectors_go_through_cross_validation_grids_and_pipelines(vectors: savs.HeadVectors) -> None:
    assert cross_val_score(savs.SavsClassifier(), vectors, LABELS, cv=3).mean() > 0.8
    grid = GridSearchCV(savs.SavsClassifier("reference"), {"heads": [1, 6]}, cv=3).fit(vectors, LABELS)
    assert grid.best_params_["heads"] in (1, 6)
    line = make_pipeline(StandardScaler(), LogisticRegression())
    assert cross_val_score(line, vectors, LABELS, cv=3).mean() > 0.6


def test_without_scikit_learn_the_error_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "sklearn").mkdir()
    (tmp_path / "sklearn" / "__init__.py").write_text("raise ModuleNotFoundError('no sklearn')")
    code = f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
import savs
from savs import *
try:
    savs.SavsClassifier
except ImportError as error:
    print(isinstance(error, savs.SavsError), error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.stdout == "True SavsClassifier needs scikit-learn: pip install 'savs[notebook]'\n", (
        done.stderr
    )
