"""Counts the imports between wings with grimp: `python -m tests.imports` prints a table.

The table stands in docs/internals.md; `tests/test_internals.py` compares it.
"""

from collections import Counter

import grimp

# From the top down, as the contracts in pyproject.toml have them.
WINGS = (
    "workers",
    *(
        "jobs.cli",
        "jobs.run",
        "jobs.report",
        "jobs.queue",
        "jobs.opened",
        "jobs.submit",
        "jobs.reduce",
        "jobs.refit",
        "jobs.plans",
    ),
    *("jobs.shards", "jobs.exports", "jobs.ledger", "jobs.records", "jobs.settings", "jobs.paths"),
    *("savs.demo", "savs.loading", "savs.artifact", "savs.readout", "savs.trials", "savs.engine"),
    *("savs.estimators", "savs.model", "savs.layers", "savs.scores", "savs.data", "savs.storage"),
    *("savs.errors", "savs.timings"),
)


def count_imports() -> Counter[tuple[str, str]]:
    """How often the files of one wing import files of another."""
    graph = grimp.build_graph("savs", "jobs", "workers", cache_dir=None)
    return Counter(
        (importer, imported)
        for file in graph.modules
        for other in graph.find_modules_directly_imported_by(file)
        if (importer := wing_of(file)) and (imported := wing_of(other)) and importer != imported
    )


def wing_of(module: str) -> str | None:
    """The wing of a module; None for the packages `savs` and `jobs` themselves."""
    return next((wing for wing in WINGS if module == wing or module.startswith(f"{wing}.")), None)


def table() -> str:
    """Markdown: a row and a column per wing."""
    found = count_imports()
    names = [wing.removeprefix("jobs.").removeprefix("savs.") for wing in WINGS]
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(WINGS) + 1) + "|"]
    for name, wing in zip(names, WINGS, strict=True):
        cells = (str(found[wing, other] or ("·" if wing == other else "")) for other in WINGS)
        lines.append(f"| **{name}** | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
