"""A readout as an estimator of scikit-learn, which this file needs; nothing else in savs imports it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from savs.engine.vectors import HeadVectors
from savs.errors import NotInstalled, WrongType, WrongValue
from savs.model.heads import HeadLayout, LayerHeads
from savs.readout.answer import Answer
from savs.readout.choice import Asked, fit_readout
from savs.readout.classify import classify
from savs.readout.multi import MultiReadout
from savs.scores.ranking import shares

if TYPE_CHECKING:
    import numpy as np

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data
except ImportError as error:
    raise NotInstalled("SavsClassifier needs scikit-learn: pip install 'savs[notebook]'") from error

MODES = ("auto", "ridge", "reference", "hec")  # readouts that need no corpus


class SavsClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A classifier of head vectors that follows scikit-learn.

    X is HeadVectors, as in `Extraction.vectors`; or an array of numbers [n, heads, head_dim]; or one of
    [n, features], whose features are divided by `head_dim`. Labels are texts or numbers.

    mode      the readout: "auto", "ridge", "reference" (the published vote) or "hec", as in `savs.fit`
    heads     how many heads it may use; by default as in `savs.fit`
    head_dim  features of one head, if X is an array [n, features]; None if all are of one head

    After `fit`: `classes_`, `n_features_in_`, and `readout_`, which `savs.classify` takes and whose `save`
    writes a file. Its class names are the labels as text.
    """

    def __init__(
        self, mode: Asked = "auto", *, heads: int | None = None, head_dim: int | None = None
    ) -> None:
        self.mode = mode
        self.heads = heads
        self.head_dim = head_dim

    def fit(self, X: Any, y: Any) -> "SavsClassifier":
        """Fit a readout on n rows of X and n labels. Raises ValueError if that is impossible: fewer than two
        classes, NaN, another number of labels, or features that heads do not divide.
        """
        import numpy as np

        if self.mode not in MODES:
            raise WrongValue(f"mode is {self.mode!r}; pass one of {', '.join(MODES)}")
        layout = self._layout_of(X)
        values, labels = validate_data(self, flat(X), y, dtype=np.float32, ensure_min_samples=2)
        labels = column_or_1d(labels, warn=True)
        check_classification_targets(labels)
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise WrongValue(f"at least two classes are needed; y has one class, {self.classes_[0]}")
        self.layout_ = layout or self._divided(values.shape[1])
        names = [str(name) for name in self.classes_]
        own = [names[number] for number in numbers]
        vectors = HeadVectors(self.layout_, values)
        found = fit_readout(vectors, own, self.mode, self.heads, names).readout
        assert not isinstance(found, MultiReadout)  # no label is a list
        self.readout_ = found
        return self

    def predict(self, X: Any) -> "np.ndarray":
        """Return the class of each row of X, as in `classes_`. Raises NotFittedError before `fit`."""
        numbers = self._numbers()
        found: np.ndarray = self.classes_[[numbers[answer.prediction] for answer in self._answers(X)]]
        return found

    def predict_proba(self, X: Any) -> "np.ndarray":
        """Return float64 [n, classes]: the probability of each class, in the order of `classes_`. Of the
        published vote they are the shares of the votes. Raises NotFittedError before `fit`."""
        import numpy as np

        numbers, answers = self._numbers(), self._answers(X)
        found = np.zeros((len(answers), len(self.classes_)))
        for row, answer in enumerate(answers):
            for name, share in (answer.scores or shares(answer.votes)).items():
                found[row, numbers[name]] = share
        return found

    def _numbers(self) -> dict[str, int]:
        check_is_fitted(self)
        return {str(name): number for number, name in enumerate(self.classes_)}

    def _answers(self, X: Any) -> Sequence[Answer]:
        import numpy as np

        layout = self._layout_of(X) or self.layout_
        values = validate_data(self, flat(X), dtype=np.float32, reset=False)
        return classify(self.readout_, HeadVectors(layout, values))

    def _layout_of(self, X: Any) -> HeadLayout | None:
        """The heads that X itself tells of; None if it is an array [n, features]."""
        if isinstance(X, HeadVectors):
            return X.layout
        if hasattr(X, "samples") and hasattr(X, "vectors"):
            raise WrongType(f"X is of type {type(X).__name__}; pass its .vectors")
        if getattr(X, "ndim", None) == 3:
            return heads_of(X.shape[1], X.shape[2])
        return None

    def _divided(self, features: int) -> HeadLayout:
        width = features if self.head_dim is None else self.head_dim
        if isinstance(width, bool) or not isinstance(width, int) or width < 1 or features % width:
            raise WrongValue(
                f"head_dim is {self.head_dim!r} and X has {features} features; pass a number that divides it"
            )
        return heads_of(features // width, width)


def heads_of(heads: int, head_dim: int) -> HeadLayout:
    """Return the layout of one layer of heads of the same width."""
    return HeadLayout((LayerHeads(0, heads, head_dim),))


def flat(X: Any) -> Any:
    """Return the features [n, features] of vectors or of [n, heads, head_dim]; anything else unchanged."""
    if isinstance(X, HeadVectors):
        return X.values
    return X.reshape(len(X), -1) if getattr(X, "ndim", None) == 3 else X
