"""Sparse Attention Vectors: label images and videos from a few examples per class.

    model = savs.load_model("demo")
    examples = savs.read_samples("train.jsonl", labelled=True)
    found = savs.extract(model, examples)
    readout = savs.fit(found.vectors, [s.label for s in found.samples])
    corpus = savs.extract(model, savs.read_samples("corpus.jsonl"), question=examples[0].question)
    answers = savs.classify(readout, corpus.vectors)

The method is that of arXiv 2412.00142. Heavy libraries are imported when a name that needs them
is first used, so `import savs` is quick and works without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from savs.artifacts import Artifact, load_artifact, make_artifact, save_artifact
    from savs.classifying import Answer, classify
    from savs.errors import ItemError, SavsError
    from savs.extracting import Extraction, extract
    from savs.fitting import Readout, fit
    from savs.heads import HeadLayout, LayerHeads
    from savs.leaks import Leak, TrainingSet, find_leaks
    from savs.media import FrameSampling
    from savs.metrics import Scores, Tally, score
    from savs.models import Model, load_model
    from savs.prompts import Prompt
    from savs.ranking import shares
    from savs.samples import Sample, read_samples
    from savs.scored import Scored
    from savs.vectors import HeadVectors
    from savs.zero_shot import generate, likeliest

__version__ = "0.1.0"

_HOMES = {
    "Answer": "classifying",
    "Artifact": "artifacts",
    "Extraction": "extracting",
    "FrameSampling": "media",
    "HeadLayout": "heads",
    "HeadVectors": "vectors",
    "ItemError": "errors",
    "LayerHeads": "heads",
    "Leak": "leaks",
    "Model": "models",
    "Prompt": "prompts",
    "Readout": "fitting",
    "Sample": "samples",
    "SavsError": "errors",
    "Scored": "scored",
    "Scores": "metrics",
    "Tally": "metrics",
    "TrainingSet": "leaks",
    "classify": "classifying",
    "extract": "extracting",
    "find_leaks": "leaks",
    "fit": "fitting",
    "generate": "zero_shot",
    "likeliest": "zero_shot",
    "load_artifact": "artifacts",
    "load_model": "models",
    "make_artifact": "artifacts",
    "read_samples": "samples",
    "save_artifact": "artifacts",
    "score": "metrics",
    "shares": "ranking",
}
__all__ = [
    "Answer",
    "Artifact",
    "Extraction",
    "FrameSampling",
    "HeadLayout",
    "HeadVectors",
    "ItemError",
    "LayerHeads",
    "Leak",
    "Model",
    "Prompt",
    "Readout",
    "Sample",
    "SavsError",
    "Scored",
    "Scores",
    "Tally",
    "TrainingSet",
    "classify",
    "extract",
    "find_leaks",
    "fit",
    "generate",
    "likeliest",
    "load_artifact",
    "load_model",
    "make_artifact",
    "read_samples",
    "save_artifact",
    "score",
    "shares",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'savs' has no attribute {name!r}")
    return getattr(import_module(f"savs.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
