"""From probabilities to predictions: another prior than that of the examples, and rows left without a
label."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from savs.errors import SettingsError
from savs.readout.records import ManifestEntry

if TYPE_CHECKING:
    import numpy as np

Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
NEVER = 2.0  # a threshold that no confidence reaches


class Decision(ManifestEntry):
    """What a user asks for.

    abstain_below     confidence below which a row has no prediction
    target_precision  share of the predictions that are to be right, as estimated by their confidence
    prior             class shares of the corpus: those of the examples, equal ones, estimated, or given
    """

    abstain_below: Annotated[float, Field(ge=0, le=1)] | None = None
    target_precision: Annotated[float, Field(gt=0, lt=1)] | None = None
    prior: Literal["examples", "uniform", "estimated"] | dict[str, Share] = "examples"

    @property
    def needs_corpus(self) -> bool:
        """Whether it depends on rows of the corpus."""
        return self.target_precision is not None or self.prior == "estimated"

    @model_validator(mode="after")
    def _check(self) -> "Decision":
        if self.abstain_below is not None and self.target_precision is not None:
            raise ValueError("--abstain-below and --target-precision exclude each other")
        return self


class Rule(ManifestEntry):
    """A decision in numbers.

    log_ratio  per class, log(prior of the corpus / prior of the examples); None changes nothing
    threshold  of the confidence
    kept       share of the corpus' sample that reaches the threshold; None if it was not estimated
    """

    log_ratio: tuple[float, ...] | None = None
    threshold: float = 0.0
    kept: float | None = None


def check_decision(decision: Decision, classes: Collection[str], votes: bool) -> None:
    """Raise SettingsError if a prior names other classes, or a vote is asked for what needs probabilities."""
    if votes and (decision.prior != "examples" or decision.target_precision is not None):
        raise SettingsError(
            "--prior and --target-precision need probabilities, and this artifact's readout is a vote; fit "
            "it with --readout ridge, hec or auto, from 3 examples per class on"
        )
    if isinstance(decision.prior, dict) and (odd := sorted(decision.prior.keys() ^ set(classes))):
        raise SettingsError(f"--prior: needs a share for each class, and for no other; see {odd[0]!r}")


def check_decision_of_lists(decision: Decision) -> None:
    """Raise SettingsError if anything is asked for of a readout with several labels per item."""
    if decision != Decision():
        raise SettingsError(
            "--abstain-below, --target-precision and --prior are for one label per item, and the labels of "
            "the examples are lists; leave the option out: each label has a threshold of its own, and "
            "`scores` in the rows allow any other"
        )


def rule_of(
    decision: Decision, counts: Mapping[str, int], logits: "np.ndarray | None" = None, votes: bool = False
) -> Rule:
    """Return the rule of a decision.

    counts  examples per class, in the order of the classes
    logits  float [n, classes] of rows of the corpus, if the decision needs them
    votes   whether the readout is a vote, which has no probabilities

    Raises SettingsError as `check_decision`, and if it needs rows of the corpus and has none.
    """
    import numpy as np

    from savs.estimators.prior import threshold_for
    from savs.estimators.temperature import softmax

    check_decision(decision, counts.keys(), votes)
    if decision.needs_corpus and logits is None:
        raise SettingsError("--target-precision and --prior estimated need rows of the corpus: use --adapt")
    ratio = None if decision.prior == "examples" else _log_ratio(decision, counts, logits)
    threshold, kept = decision.abstain_below or 0.0, None
    if decision.target_precision is not None:
        assert logits is not None
        # In the rows' own precision, or the row at the threshold may be on the wrong side of it.
        shifted = logits if ratio is None else logits + ratio.astype(logits.dtype)
        confidences = softmax(shifted).max(axis=1)
        found = threshold_for(confidences, decision.target_precision)
        threshold = NEVER if found is None else found
        kept = float(np.mean(confidences >= threshold))
    return Rule(log_ratio=None if ratio is None else tuple(ratio.tolist()), threshold=threshold, kept=kept)


def _log_ratio(decision: Decision, counts: Mapping[str, int], logits: "np.ndarray | None") -> "np.ndarray":
    import numpy as np

    from savs.estimators.prior import estimate_prior
    from savs.estimators.temperature import softmax

    examples = np.array([*counts.values()], float)
    examples /= examples.sum()
    if isinstance(decision.prior, dict):
        new = np.array([decision.prior[name] for name in counts])
    elif decision.prior == "uniform":
        new = np.ones(len(counts))
    else:
        assert logits is not None
        new = estimate_prior(softmax(logits), examples)
    ratio: np.ndarray = np.log(new / new.sum()) - np.log(examples)
    return ratio
