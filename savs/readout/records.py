"""What files say of a readout: the heads that it was fitted on, and how it was chosen."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from savs.data.labels import Label
from savs.model.heads import HeadLayout, LayerHeads

MULTI: Literal["multi"] = "multi"  # the readout with several labels per item
Rate = Annotated[float, Field(ge=0, le=1)]


class ManifestEntry(BaseModel):
    """Base class of an artifact manifest's records: immutable, no unknown fields. Errors do not quote the
    input: it may be a file that its writer must not see."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class LayerEntry(ManifestEntry):
    layer: Annotated[int, Field(ge=0)]
    heads: Annotated[int, Field(gt=0)]
    head_dim: Annotated[int, Field(gt=0)]


def layer_entries(layout: HeadLayout) -> tuple[LayerEntry, ...]:
    return tuple(LayerEntry(layer=x.layer, heads=x.heads, head_dim=x.head_dim) for x in layout.layers)


def head_layout(entries: tuple[LayerEntry, ...]) -> HeadLayout:
    return HeadLayout(tuple(LayerHeads(x.layer, x.heads, x.head_dim) for x in entries))


class ReadoutScore(ManifestEntry):
    """The score of a readout on the examples, each without the fit having seen its label.

    how       "leave-one-out", where linear readouts weigh heads by all examples; or "five folds", where only
              the choice of heads, if their number was limited, has seen all
    accuracy  with several labels per item: share of the examples whose labels are all right
    log_loss  in nats, at the temperature of these scores; None for the vote, which has no probabilities; with
              several labels per item, the mean over labels
    average_precision  with several labels per item, the mean over labels; else None
    """

    readout: str
    how: str
    rows: Annotated[int, Field(ge=0)]
    accuracy: Rate
    log_loss: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    average_precision: Rate | None = None


class Choice(ManifestEntry):
    """Which readout was fitted, and why.

    unlabelled  rows of the corpus that it learned from
    difference  how well the examples can be told from the corpus (`savs.estimators.shift`): at most 1;
                about 0 or below if they cannot
    apart       whether both were therefore standardised by their own statistics
    """

    asked: str
    chosen: str
    why: str
    table: tuple[ReadoutScore, ...]
    unlabelled: Annotated[int, Field(ge=0)] = 0
    difference: Annotated[float, Field(le=1, allow_inf_nan=False)] | None = None
    apart: bool = False


class Suspect(ManifestEntry):
    """An example that the others contradict: its number among the examples, and the probability, by a fit
    without it, of the class that it is more likely to be. With several labels per item, `likelier` are its
    labels with the most doubtful one added or left out."""

    row: Annotated[int, Field(ge=0)]
    label: Label
    likelier: Label
    probability: Rate
