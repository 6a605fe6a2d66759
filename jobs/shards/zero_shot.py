"""The result of a shard that is answered zero-shot."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from jobs.records.job import ClassifySpec, ZeroShot
from jobs.records.row import ResultRow
from jobs.shards.requests import budget_of, requests_of
from jobs.shards.result import Progress, ShardResult, error_row, extra_of, notes_of, tally_of
from jobs.shards.rows import ManifestRow, ShardRows
from savs.errors import ItemError

if TYPE_CHECKING:
    from savs.data.media import Digest
    from savs.engine.prompts import Prompt
    from savs.model.model import Model
    from savs.timings import Timings

Said = str | dict[str, float]  # a text, or the probability of each class


def answer_rows(unit: ShardRows, model: "Model", timings: "Timings", progress: Progress) -> ShardResult:
    """Ask the model itself about the unit's entries; the part is their result rows."""
    from savs.engine.extract import read_prompts

    unit = unit.for_task(unit.job.spec.name)
    spec, entries = unit.job.spec, unit.entries
    assert isinstance(spec, ClassifySpec) and spec.zero_shot is not None
    model = model.shown(**dict(spec.zero_shot.prompt))
    ask = _question(spec.zero_shot, model, timings)
    answers: dict[int, Said] = {}
    errors = unit.errors
    progress(len(errors))
    digests: dict[int, tuple[Digest, ...]] = {}
    budget, requests = budget_of(unit.job, model), requests_of(unit, spec.zero_shot.question)
    for prompts, unready, opened in read_prompts(model, requests, timings, budget):
        errors |= unready
        digests |= opened
        said = ask(list(prompts.values())) if prompts else []
        errors |= {n: one for n, one in zip(prompts, said, strict=True) if isinstance(one, ItemError)}
        answers |= {n: one for n, one in zip(prompts, said, strict=True) if not isinstance(one, ItemError)}
        progress(len(prompts) + len(unready))
    rows = [
        error_row(entry, spec.name, errors[entry.index])
        if entry.index in errors
        else _said_row(entry, spec.name, answers[entry.index], digests.get(entry.index, ()))
        for entry in entries
    ]
    part = b"".join(row.line() for row in rows)
    tally = tally_of(rows, unit.by_index, spec.data.format, spec.zero_shot)
    return ShardResult(rows, ".jsonl", part, tally, leaks=())


def _question(
    zero_shot: ZeroShot, model: "Model", timings: "Timings"
) -> "Callable[[Sequence[Prompt]], Sequence[Said | ItemError]]":
    """Return a function that asks the model as the job specifies."""
    from savs.engine.zero_shot import generate, likeliest

    if zero_shot.max_new_tokens is None:
        return lambda prompts: likeliest(model, prompts, zero_shot.classes, timings)
    tokens = zero_shot.max_new_tokens
    return lambda prompts: generate(model, prompts, tokens, timings)


def _said_row(entry: ManifestRow, task: str, said: Said, digests: "tuple[Digest, ...]") -> ResultRow:
    sample = entry.sample
    assert sample is not None
    scores = None if isinstance(said, str) else said
    prediction = said if isinstance(said, str) else max(said, key=said.__getitem__)
    return ResultRow(
        index=sample.index,
        id=sample.id,
        task=task,
        media=sample.media,
        prediction=prediction,
        confidence=round(scores[prediction], 6) if scores else None,
        scores={name: round(share, 6) for name, share in scores.items()} if scores else None,
        label=sample.label,
        extra=extra_of(sample),
        notes=notes_of(sample, digests),
    )
