"""Sparse Attention Vectors: label images and videos from a few examples per class.

    model = savs.load_model("demo")
    examples = savs.read_samples("train.jsonl", labelled=True)
    found = savs.extract(model, examples)
    readout = savs.fit(found.vectors, [s.label for s in found.samples])
    corpus = savs.extract(model, savs.read_samples("corpus.jsonl"), question=examples[0].question)
    answers = savs.classify(readout, corpus.vectors)
    savs.score([s.label for s in corpus.samples], answers).accuracy

`answers` are those of `corpus.samples`; an item that could not be read is in `corpus.errors` instead.
`answers.to_pandas(corpus)` is a table of all of them. `docs/python.md` has more.

The method is that of arXiv 2412.00142. Heavy libraries are imported when a name that needs them
is first used, so `import savs` is quick and works without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobs.opened import OpenedJob, open_job
    from savs.artifact.artifact import Artifact, load_artifact, make_artifact, save_artifact
    from savs.artifact.leaks import Leak, TrainingSet, find_leaks
    from savs.data.samples import Sample, read_samples
    from savs.data.video.sampling import FrameSampling
    from savs.engine.extract import Extraction, extract
    from savs.engine.prompts import Prompt
    from savs.engine.vectors import HeadVectors
    from savs.engine.zero_shot import generate, likeliest
    from savs.errors import (
        ArtifactError,
        ArtifactMismatch,
        ArtifactNotFound,
        FitError,
        ItemError,
        ManifestError,
        ModelError,
        ModelNotFound,
        NotFound,
        SavsError,
        SettingsError,
        StorageError,
        UnsupportedModel,
    )
    from savs.loading import load_model
    from savs.model.heads import HeadLayout, LayerHeads
    from savs.model.model import Model
    from savs.readout.answer import Answer, MultiAnswer
    from savs.readout.answers import Answers
    from savs.readout.choice import fit
    from savs.readout.classifier import SavsClassifier as SavsClassifier
    from savs.readout.classify import classify
    from savs.readout.fit import Readout
    from savs.readout.hec import HecReadout
    from savs.readout.linear import LinearReadout
    from savs.readout.multi import MultiReadout
    from savs.readout.scoring import score
    from savs.scores.metrics import Scores, Tally
    from savs.scores.multi import MultiScores
    from savs.scores.ranking import shares
    from savs.scores.scored import Scored

__version__ = "0.1.0"

_HOMES = {
    "Answer": "readout.answer",
    "Answers": "readout.answers",
    "Artifact": "artifact.artifact",
    "ArtifactError": "errors",
    "ArtifactMismatch": "errors",
    "ArtifactNotFound": "errors",
    "Extraction": "engine.extract",
    "FitError": "errors",
    "FrameSampling": "data.video.sampling",
    "HeadLayout": "model.heads",
    "HeadVectors": "engine.vectors",
    "HecReadout": "readout.hec",
    "ItemError": "errors",
    "LayerHeads": "model.heads",
    "Leak": "artifact.leaks",
    "LinearReadout": "readout.linear",
    "ManifestError": "errors",
    "Model": "model.model",
    "ModelError": "errors",
    "ModelNotFound": "errors",
    "MultiAnswer": "readout.answer",
    "MultiReadout": "readout.multi",
    "MultiScores": "scores.multi",
    "NotFound": "errors",
    "Prompt": "engine.prompts",
    "Readout": "readout.fit",
    "Sample": "data.samples",
    "SavsError": "errors",
    "Scored": "scores.scored",
    "SavsClassifier": "readout.classifier",
    "Scores": "scores.metrics",
    "SettingsError": "errors",
    "StorageError": "errors",
    "Tally": "scores.metrics",
    "TrainingSet": "artifact.leaks",
    "UnsupportedModel": "errors",
    "classify": "readout.classify",
    "extract": "engine.extract",
    "find_leaks": "artifact.leaks",
    "fit": "readout.choice",
    "generate": "engine.zero_shot",
    "likeliest": "engine.zero_shot",
    "load_artifact": "artifact.artifact",
    "load_model": "loading",
    "make_artifact": "artifact.artifact",
    "read_samples": "data.samples",
    "save_artifact": "artifact.artifact",
    "score": "readout.scoring",
    "shares": "scores.ranking",
}
# The one exception to the order of the floors: `jobs` stands on `savs`, which only gives these names out.
_ABOVE = {"OpenedJob": "jobs.opened", "open_job": "jobs.opened"}
# SavsClassifier is not among them: `from savs import *` also works without scikit-learn.
__all__ = [
    "Answer",
    "Answers",
    "Artifact",
    "ArtifactError",
    "ArtifactMismatch",
    "ArtifactNotFound",
    "Extraction",
    "FitError",
    "FrameSampling",
    "HeadLayout",
    "HeadVectors",
    "HecReadout",
    "ItemError",
    "LayerHeads",
    "Leak",
    "LinearReadout",
    "ManifestError",
    "Model",
    "ModelError",
    "ModelNotFound",
    "MultiAnswer",
    "MultiReadout",
    "MultiScores",
    "NotFound",
    "OpenedJob",
    "Prompt",
    "Readout",
    "Sample",
    "SavsError",
    "Scored",
    "Scores",
    "SettingsError",
    "StorageError",
    "Tally",
    "TrainingSet",
    "UnsupportedModel",
    "classify",
    "extract",
    "find_leaks",
    "fit",
    "generate",
    "likeliest",
    "load_artifact",
    "load_model",
    "make_artifact",
    "open_job",
    "read_samples",
    "save_artifact",
    "score",
    "shares",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES and name not in _ABOVE:
        raise AttributeError(f"module 'savs' has no attribute {name!r}")
    home = f"savs.{_HOMES[name]}" if name in _HOMES else _ABOVE[name]
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_ABOVE})
