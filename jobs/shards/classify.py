"""The result of a shard that is labelled with one or several artifacts, in one pass through the model."""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

from jobs.records.job import ClassifySpec
from jobs.records.outcome import LeakedRow
from jobs.records.row import ResultRow
from jobs.shards.keep import Keeping, KeptColumns, kept_layout
from jobs.shards.requests import budget_of, share_requests
from jobs.shards.result import Progress, ShardResult, error_row, extra_of, notes_of, tally_of
from jobs.shards.rows import ManifestRow, ShardRows
from savs.errors import ArtifactNotFound, ItemError, SavsError

if TYPE_CHECKING:
    from savs.artifact.artifact import Artifact
    from savs.artifact.leaks import Leak, TrainingSet
    from savs.data.media import Digest
    from savs.model.model import Model
    from savs.readout.answer import Answer, MultiAnswer
    from savs.readout.classify import AnyReadout
    from savs.readout.decision import Rule
    from savs.timings import Timings

log = logging.getLogger("savs.labelling")


@dataclass(frozen=True)
class Task:
    """A unit, the artifact that labels it, and the results of its rows so far, by index.

    model    shows items as they were shown when the artifact was made
    rule     by which answers become predictions
    digest   of the artifact
    keeping  the head vectors that are kept; None if the job keeps none
    """

    unit: ShardRows
    artifact: "Artifact"
    model: "Model"
    training: "TrainingSet"
    errors: dict[int, ItemError]
    rule: "Rule"
    digest: str
    keeping: Keeping | None = None
    answers: "dict[int, Answer | MultiAnswer]" = field(default_factory=dict)
    digests: "dict[int, tuple[Digest, ...]]" = field(default_factory=dict)

    @classmethod
    def of(cls, unit: ShardRows, model: "Model") -> "Task":
        """Raises SavsError if the artifact cannot be used; ArtifactMismatch if another model made it."""
        from savs.artifact.artifact import load_artifact
        from savs.artifact.leaks import TrainingSet
        from savs.readout.decision import Rule, check_decision_of_lists, rule_of
        from savs.readout.records import MULTI

        spec = unit.job.spec
        assert isinstance(spec, ClassifySpec) and spec.artifact is not None
        try:
            artifact = load_artifact(spec.artifact, unit.inside)
        except ArtifactNotFound as error:
            raise ArtifactNotFound(
                f"no artifact at {spec.artifact}, where it was when {unit.job.job_id} was submitted; put it "
                "back there, or submit the job again with the artifact's present address: that is another job"
            ) from error
        unit = unit.for_task(artifact.manifest.name)
        training = TrainingSet(artifact.manifest.training)
        rule = unit.known.rule
        if artifact.readout.mode == MULTI:
            check_decision_of_lists(spec.decision)
            rule = Rule()
        if rule is None:
            labels = Counter(row.label for row in artifact.manifest.training)
            counts = {name: labels[name] for name in artifact.manifest.classes}
            rule = rule_of(spec.decision, counts, votes=artifact.readout.mode == "reference")
        layout = kept_layout(spec.keep_vectors, artifact.readout)
        keeping = None if layout is None else Keeping(unit, layout)
        shown = artifact.prepared(model)
        task = cls(unit, artifact, shown, training, unit.errors, rule, artifact.digest, keeping)
        task.take_known()
        return task

    @property
    def readout(self) -> "AnyReadout":
        """The artifact's readout under the prior of the corpus."""
        from savs.readout.classify import with_rule

        return with_rule(self.artifact.readout, self.rule)

    def take_known(self) -> None:
        """Answer the rows that a pilot has read from what it found."""
        import torch

        from savs.readout.classify import on_device

        rows = self.unit.known.rows
        known = {
            index: rows[index] for index in self.unit.by_index if index in rows and index not in self.errors
        }
        if known:
            device = on_device(self.artifact.readout, self.model.layout)
            values = torch.tensor([row.values for row in known.values()])
            if self.rule.log_ratio is not None:
                values = values + torch.tensor(self.rule.log_ratio)
            answers = device.answers(values)
            self.answers.update(zip(known, answers, strict=True))
            self.digests.update((index, row.digests) for index, row in known.items())


def label_rows(
    units: Sequence[ShardRows], model: "Model", timings: "Timings", progress: Progress
) -> Iterator[ShardResult | None]:
    """Label each unit's entries with its job's artifact; the parts are their result rows.

    Artifacts whose items are shown alike share a pass. An error of the first unit's artifact is
    raised; any other unit whose artifact cannot be used has no result, and the rest are not affected.
    """
    tasks: list[Task | None] = [Task.of(units[0], model)]
    for unit in units[1:]:
        try:
            tasks.append(Task.of(unit, model))
        except SavsError as error:
            log.warning("%s is not run in this pass: %s", unit.job.job_id, error)
            tasks.append(None)
    alike: dict[str, list[Task]] = {}
    for task in tasks:
        if task is not None:
            alike.setdefault(task.artifact.manifest.origin.prompt.model_dump_json(), []).append(task)
    progress(len(units[0].errors) + len(tasks[0].answers if tasks[0] else ()))
    for these in alike.values():
        _label(these, timings, progress if these[0] is tasks[0] else lambda rows: progress(0))
    for task in tasks:
        yield None if task is None else _ending(task)


def _label(tasks: Sequence[Task], timings: "Timings", progress: Progress) -> None:
    """Run one pass for `tasks`, whose items are shown alike."""
    import torch

    from savs.engine.extract import stream
    from savs.readout.classify import on_device

    model, readouts = tasks[0].model, [task.readout for task in tasks]
    layers = frozenset(int(layer) for readout in readouts for layer, _ in readout.heads)
    keeping = [task.keeping for task in tasks if task.keeping is not None]
    layers |= {layer.layer for one in keeping for layer in one.layout.layers}
    given = model.layout.only(layers)
    kept = KeptColumns.of(keeping, given, model.device)
    devices = [on_device(readout, given, model.device) for readout in readouts]
    ends = [0, *accumulate(device.width for device in devices)]
    asked = share_requests([task.unit for task in tasks], [task.artifact.manifest.question for task in tasks])
    for part in stream(
        model,
        asked.requests,
        timings,
        layers=layers,
        read=lambda vectors: torch.cat([*(d.read(vectors) for d in devices), kept.read(vectors)], dim=1),
        hashed=lambda size: any(task.training.may_hold(size) for task in tasks),
        budget=budget_of(tasks[0].unit.job, model),
    ):
        with timings.stage("readout"):
            for place, task in enumerate(tasks):
                rows = [row for row, n in enumerate(part.numbers) if n in asked.wanted[place]]
                if part.values is not None and rows:
                    said = devices[place].answers(part.values[rows, ends[place] : ends[place + 1]])
                    by_number: dict[int, Answer | MultiAnswer] = dict(
                        zip([part.numbers[row] for row in rows], said, strict=True)
                    )
                    task.answers.update(asked.of(place, by_number))
                if part.values is not None and task.keeping is not None:
                    vectors = kept.of_unit(task.keeping.layout, part.values[:, ends[-1] :])
                    own = dict(zip(part.numbers, vectors, strict=True))
                    task.keeping.found.update(asked.of(place, own))
                task.errors.update(asked.of(place, part.errors))
                task.digests.update(asked.of(place, part.digests))
        progress(asked.rows(0, (*part.numbers, *part.errors)))


def _ending(task: Task) -> ShardResult:
    from savs.artifact.leaks import find_leaks
    from savs.readout.multi import MultiReadout

    spec, manifest = task.unit.job.spec, task.artifact.manifest
    multi = isinstance(task.artifact.readout, MultiReadout)
    rows = [
        error_row(entry, manifest.name, task.errors[entry.index], multi)
        if entry.index in task.errors
        else _labelled_row(entry, manifest.name, task)
        for entry in task.unit.entries
    ]
    samples, format = task.unit.by_index, spec.source.format
    leaks = find_leaks(task.training, samples.values(), manifest.question, task.digests)
    unseen = [row for row in rows if row.error or row.index not in leaks]
    keep = task.keeping
    kept = None if keep is None else keep.written(rows, manifest.question, task.digests, manifest.origin)
    return ShardResult(
        rows,
        ".jsonl",
        b"".join(row.line() for row in rows),
        tally_of(rows, samples, format),
        _leaked(leaks) if task.training.comparable else None,
        tally_of(unseen, samples, format) if leaks else None,
        kept,
    )


def _leaked(leaks: "dict[int, Leak]") -> tuple[LeakedRow, ...]:
    return tuple(
        LeakedRow(index=index, training=leak.training, verified=leak.verified)
        for index, leak in sorted(leaks.items())
    )


def _labelled_row(entry: ManifestRow, name: str, task: Task) -> ResultRow:
    from savs.readout.answer import Answer

    sample, answer, known = entry.sample, task.answers[entry.index], task.unit.known.rows.get(entry.index)
    assert sample is not None
    notes = known.notes if known else notes_of(sample, task.digests.get(entry.index, ()))
    if not isinstance(answer, Answer):
        return ResultRow(
            index=sample.index,
            id=sample.id,
            task=name,
            media=sample.media,
            predictions=answer.predictions,
            scores={label: round(p, 6) for label, p in answer.scores.items()},
            label=sample.label,
            artifact=task.digest,
            extra=extra_of(sample),
            notes=notes,
        )
    scores = {name: rounded for name, share in answer.scores.items() if (rounded := round(share, 6))}
    return ResultRow(
        index=sample.index,
        id=sample.id,
        task=name,
        media=sample.media,
        prediction=answer.prediction if answer.confidence >= task.rule.threshold else None,
        votes={name: count for name, count in answer.votes.items() if count},
        confidence=round(answer.confidence, 6),
        margin=None if answer.margin is None else round(answer.margin, 6),
        entropy=None if answer.entropy is None else round(answer.entropy, 6),
        scores=scores or None,
        label=sample.label,
        artifact=task.digest,
        extra=extra_of(sample),
        notes=notes,
    )
