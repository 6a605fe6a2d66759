"""The rows of a shard, as read from the manifest."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO

from jobs.ledger.artifacts import located
from jobs.ledger.ledger import Ledger
from jobs.ledger.pilots import NOTHING, Known, known_of, sample_rows
from jobs.records.job import ExtractSpec, Job, PilotSpec, awaited, is_pilot
from jobs.records.plan import Shard
from jobs.shards.allowed_roots import Roots
from savs.data.rows import Line, read_rows
from savs.data.samples import Sample, parse_line
from savs.errors import BadRow, ForbiddenMedia, ItemError, LedgerError, NotFound
from savs.storage import open_parent


@dataclass(frozen=True)
class ManifestRow:
    """A row of the manifest: its sample, if it has one, and its error, if it cannot be labelled."""

    index: int
    line: int
    sample: Sample | None
    error: ItemError | None


@dataclass(frozen=True)
class ShardRows:
    """A shard of a job, and its rows.

    job     with the present address of its artifact
    inside  folders that links to the artifact may not lead out of; None: the artifact's own
    known   what a pilot has found: the answers to some rows of the corpus
    read    rows whose vectors are stored
    """

    job: Job
    shard: Shard
    entries: Sequence[ManifestRow]
    inside: tuple[str, ...] | None = None
    known: Known = NOTHING
    read: Collection[int] = ()

    def for_task(self, name: str) -> "ShardRows":
        """Return the unit with the labels of one of several tasks: of the task `name`, or of its split."""
        split = name.rpartition(".")[2]
        entries = [
            entry
            if entry.sample is None or entry.sample.labels is None
            else replace(entry, sample=_of_task(entry.sample, entry.sample.labels, name, split))
            for entry in self.entries
        ]
        return replace(self, entries=entries)

    @property
    def samples(self) -> list[Sample]:
        """Samples of the entries that the model has to read: those without an error that it has not read."""
        return [
            entry.sample
            for entry in self.entries
            if entry.sample is not None
            and entry.error is None
            and entry.index not in self.known.rows
            and entry.index not in self.read
        ]

    @property
    def errors(self) -> dict[int, ItemError]:
        """Index → error of the entries that have one."""
        return {entry.index: entry.error for entry in self.entries if entry.error is not None}

    @property
    def by_index(self) -> dict[int, Sample]:
        return {entry.index: entry.sample for entry in self.entries if entry.sample is not None}


def _of_task(sample: Sample, labels: Mapping[str, str], name: str, split: str) -> Sample:
    return replace(sample, label=labels.get(name, labels.get(split, sample.label)))


def check_addresses(job: Job, roots: Roots | None) -> None:
    """Raises ForbiddenAddress if the job's manifest or artifact is outside `roots`."""
    if roots is not None:
        roots.check_address(job.spec.source.url)
        if isinstance(job.spec, ExtractSpec):
            for url in job.spec.reuse:
                roots.check_address(url)
        elif job.spec.artifact is not None:
            roots.check_address(job.spec.artifact)


def read_shard_rows(ledger: Ledger, job: Job, shard: Shard, roots: Roots | None) -> ShardRows:
    """Return the shard's rows. Raises Changed if the manifest is no longer the one that was planned,
    LedgerError if their number is not as planned, and as `check_addresses`."""
    job = located(ledger, job)
    check_addresses(job, roots)
    if isinstance(job.spec, PilotSpec):
        found = _entries(job, sample_rows(ledger, job.job_id, shard), roots)
    elif shard.retry is None:
        found = _read_span(job, shard, roots)
    else:
        found = []
        for pick in ledger.retry(job.job_id, shard.retry).shard(shard.number).picks:
            wanted = set(pick.rows)
            found += [entry for entry in _read_span(job, pick.shard, roots) if entry.index in wanted]
    if len(found) != shard.rows:
        raise LedgerError(
            f"job {job.job_id}: shard {shard.number} has {len(found)} rows, but {shard.rows} were planned"
        )
    inside = None if roots is None else roots.folders
    return ShardRows(job, shard, found, inside, known_for(ledger, job))


def known_for(ledger: Ledger, job: Job) -> Known:
    """Return what the pilot has found that a job waited for; nothing if it waited for none."""
    after = awaited(job.spec)
    return known_of(ledger, after) if after is not None and is_pilot(after) else NOTHING


def read_samples(
    job: Job, shard: Shard, indices: Collection[int], roots: Roots | None = None
) -> dict[int, Sample]:
    """Return the samples of those rows of a planned shard by index; an unusable row has none. Media are not
    checked. Raises Changed, NotFound and ForbiddenAddress as `read_shard_rows`."""
    if roots is not None:
        roots.check_address(job.spec.source.url)
    entries = _entries(job, (line for line in _lines(job, shard, roots) if line.index in indices), None)
    return {entry.index: entry.sample for entry in entries if entry.sample is not None}


def _read_span(job: Job, shard: Shard, roots: Roots | None) -> list[ManifestRow]:
    return _entries(job, _lines(job, shard, roots), roots)


def _lines(job: Job, shard: Shard, roots: Roots | None) -> Iterator[Line]:
    source = job.spec.source
    store, key = open_parent(source.url, None if roots is None else roots.folders)
    try:
        data = store.read_range(key, shard.offset, shard.length, source.etag)
    except NotFound as error:
        raise NotFound(source.gone) from error
    return read_rows(BytesIO(data), shard.listed, shard.first_index, shard.first_line, inside=True)


def _entries(job: Job, lines: Iterable[Line], roots: Roots | None) -> list[ManifestRow]:
    source, entries = job.spec.source, []
    reading = source.reading  # resolves links, so not once per row
    for line in lines:
        try:
            sample = parse_line(line, reading, labelled=job.spec.kind == "extract")
            refused = _refused(sample, roots)
            sample = sample if roots is None else roots.confine(sample)
            entries.append(ManifestRow(line.index, line.number, sample, refused))
        except BadRow as error:
            bad = BadRow(f"{source.url}:{line.number}: {error}")
            entries.append(ManifestRow(line.index, line.number, None, bad))
    return entries


def _refused(sample: Sample, roots: Roots | None) -> ForbiddenMedia | None:
    try:
        if roots is not None:
            roots.check_media(sample)
    except ForbiddenMedia as error:
        return error
    return None
