"""Prints why jobs, shards and rows failed."""

from typing import Any

from jobs.cli.output.advice import complete
from jobs.cli.output.text import console, escape, rows_of

SHARDS_SHOWN = 20  # given-up shards that are printed per job


def print_failures(found: dict[str, dict[str, Any]]) -> None:
    """Prints per job: why it ended, which shards were given up, and per kind of error the number of rows
    and some examples."""
    out = console()
    for job_id, why in found.items():
        out.print(f"[bold]{escape(job_id)}[/bold]{':' if any(why.values()) else ': no errors'}")
        if why["reason"]:
            out.print(f"  {escape(complete(why['reason']))}")
        for shard in why["given_up"][:SHARDS_SHOWN]:
            first, last = shard["first_index"], shard["first_index"] + shard["rows"] - 1
            rows = f"{shard['rows']} retried rows" if shard["retry"] else f"rows {first} to {last}"
            said = f"shard {shard['shard']}, {rows}: {shard['reason']}"
            out.print(f"  [red]given up[/red]: {escape(said)}")
        if (more := len(why["given_up"]) - SHARDS_SHOWN) > 0:
            out.print(f"  … and {more} more shards that were given up (all of them with --json)")
        for kind, errors in why["errors"].items():
            out.print(f"  [red]{escape(kind)}[/red]: {rows_of(errors['rows'])}")
            for example in errors["examples"]:
                out.print(
                    f"    row {example['index']} ({escape(example['id'])}): {escape(example['message'])}"
                )
