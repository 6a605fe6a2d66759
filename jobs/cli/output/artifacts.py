"""Prints artifacts."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from jobs.cli.output.summary import CLASSES_SHOWN
from jobs.cli.output.text import console, escape, print_uncut
from jobs.reduce.uses import Use, place
from jobs.submit.artifacts import ArtifactCard, ArtifactHead
from savs.readout.records import Choice

HEADS_SHOWN = 20
SUSPECTS_SHOWN = 10


def print_artifacts(cards: Sequence[ArtifactCard], uses: Mapping[str, Sequence[Use]]) -> None:
    """Prints a table of artifacts, if there are any. Their accuracy is that of the newest job with labels."""
    if not cards:
        return
    table = Table(box=None)
    for column in ("artifact", "model", "classes", "examples", "best head", "accuracy", "jobs", "created"):
        table.add_column(column, no_wrap=True)
    for card in cards:
        mine = uses.get(place(card.url), [])
        scored = [use for use in mine if use.accuracy is not None]
        table.add_row(
            escape(card.called),
            escape(card.model),
            str(len(card.classes)),
            str(card.examples),
            _share(max(card.scores), card.examples) if card.scores else "",
            _accuracy(scored[-1]) if scored else "",
            str(len(mine)),
            card.created.isoformat(timespec="seconds"),
        )
    print_uncut(table)


def print_artifact(
    card: ArtifactCard, digest: str, heads: Sequence[ArtifactHead], uses: Sequence[Use]
) -> None:
    """Prints one artifact: where it is from, its classes, its heads, and the jobs that use it."""
    out = console()
    out.print(f"[bold]{escape(card.called)}[/bold]: {escape(card.url)}")
    out.print(f"  in rows: artifact {digest}")
    out.print(f"  model: {escape(card.model)} ({escape(card.fingerprint[:12])})")
    out.print(f"  created: {card.created.isoformat(timespec='seconds')}")
    question = "several; each row needs its own" if card.question is None else card.question
    out.print(f"  question: {escape(question)}")
    out.print(f"  examples: {card.examples}, classes: {len(card.classes)}")
    for name, count in list(card.classes.items())[:CLASSES_SHOWN]:
        out.print(f"    {escape(name)}: {count}")
    if len(card.classes) > CLASSES_SHOWN:
        out.print(f"    … and {len(card.classes) - CLASSES_SHOWN} more classes")
    print_choice(card)
    alone = "" if card.multi else "; examples that each labels right alone:"
    out.print(f"  heads: {len(heads)}, best first{alone}")
    for head in heads[:HEADS_SHOWN]:
        if head.score is None:
            out.print(f"    layer {head.layer}, head {head.head}")
            continue
        share = _share(head.score, card.examples)
        out.print(f"    layer {head.layer}, head {head.head}: {head.score} of {card.examples} ({share})")
    if len(heads) > HEADS_SHOWN:
        out.print(f"    … and {len(heads) - HEADS_SHOWN} more heads (all of them with --json)")
    out.print(f"  jobs: {len(uses) or 'none in this workspace'}")
    for use in uses:
        rows = "" if use.rows is None else f", {use.rows} rows"
        accuracy = "" if use.accuracy is None else f", accuracy {_accuracy(use)}"
        out.print(f"    {escape(use.job_id)}: {escape(use.status)}{rows}{accuracy}")


def print_choice(card: ArtifactCard) -> None:
    """Prints the readout of an artifact, why it was chosen, how right each readout is on the examples, and
    the suspects; nothing if an earlier savs made it."""
    if card.choice is None:
        return
    out, choice, suspects = console(), Choice.model_validate(card.choice), card.suspects
    out.print(f"  readout: {escape(choice.chosen)} ({escape(choice.why)})")
    for score in choice.table:
        loss = "" if score.log_loss is None else f", log loss {score.log_loss:.3f}"
        precision, of = score.average_precision, f"of {score.rows}"
        if precision is not None:
            of, loss = f"with all labels right {of}", f", average precision {precision:.3f}{loss}"
        out.print(f"    {escape(score.readout)}, {escape(score.how)}: {score.accuracy:.3f} {of}{loss}")
    if choice.difference is not None:
        apart = "; each standardised by its own statistics" if choice.apart else ""
        out.print(f"    examples told from the corpus with R² {choice.difference:.2f}{apart}")
    if suspects:
        out.print(f"  suspects: {len(suspects)} examples that the others contradict, most certain first")
    for one in suspects[:SUSPECTS_SHOWN]:
        called = f"{one['id']!r}: {_label(one['label'])}, likelier {_label(one['likelier'])}"
        out.print(f"    {escape(called)} ({one['probability']:.2f})")
    if len(suspects) > SUSPECTS_SHOWN:
        out.print(f"    … and {len(suspects) - SUSPECTS_SHOWN} more (with --json)")


def _label(label: str | tuple[str, ...]) -> str:
    return repr(label if isinstance(label, str) else list(label))


def _share(count: int, examples: int) -> str:
    return f"{count / examples:.0%}" if examples else ""


def _accuracy(use: Use) -> str:
    interval = "" if use.interval is None else f" ({use.interval[0]:.3f} to {use.interval[1]:.3f})"
    return f"{use.accuracy:.3f}{interval}"
