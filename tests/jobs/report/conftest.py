"""An artifact with the vectors of its examples."""

from datetime import UTC, datetime

import numpy as np
import pytest

from savs.artifact.artifact import Artifact, StoredExamples, make_artifact
from savs.artifact.manifest import ModelIdentity, Origin, PromptFormat
from savs.artifact.training_row import TrainingRow
from savs.engine.vectors import HeadVectors
from savs.readout.fit import fit_vote
from savs.readout.records import LayerEntry


@pytest.fixture
def strokes() -> Artifact:
    """Twelve heads, of which three are chosen, fitted on 30 drawn examples."""
    origin = Origin(
        model=ModelIdentity(id="demo", revision="local", fingerprint="0" * 64, dtype="float32"),
        prompt=PromptFormat(frames=8, fps=None, image_size=None, video_size=None),
        layout=tuple(LayerEntry(layer=n, heads=4, head_dim=8) for n in range(3)),
    )
    names = [("curls", "spiral", "zigzag")[n % 3] for n in range(30)]
    draw = np.random.default_rng(0)
    values = draw.normal(size=(30, 96)).astype(np.float32)
    values[:, ::5] += np.arange(30)[:, None] % 3
    vectors = HeadVectors(origin.head_layout(), values)
    training = [TrainingRow(id=str(n), label=name, sha256=()) for n, name in enumerate(names)]
    return make_artifact(
        *("strokes", "strokes-extract-00000000", fit_vote(vectors, names, 3), origin, "What?", training),
        datetime(2030, 1, 7, tzinfo=UTC),
        examples=StoredExamples(vectors, ()),
    )
