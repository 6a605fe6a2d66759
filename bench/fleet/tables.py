"""The results as Markdown, and as a picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.fleet.sweep import COOLDOWNS, LIVES, LOADS, REFERENCE, SIZES, Result

Sweep = Mapping[tuple[str, float, float], Result]  # by load, size and cooldown
CHOSEN = 300.0  # the cooldown of columns that do not tell


def table_of_sizes(sweep: Sweep, load: str) -> str:
    """Return finish and cost for each shard size and cooldown, and what the cost is made of."""
    lines = [
        "| shard | "
        + " | ".join(f"finish, cost: cooldown {c:g} s" for c in COOLDOWNS)
        + f" | at {CHOSEN:g} s: repeated | starting | S3 | idle | busy workers removed |",
        "|---" * (len(COOLDOWNS) + 6) + "|",
    ]
    for size in SIZES:
        cells = [sweep[load, size, cooldown] for cooldown in COOLDOWNS]
        at = sweep[load, size, CHOSEN]
        parts = [f"{100 * part:.1f} %" for part in (at.repeated, at.starting, at.storage, at.idle)]
        both = [f"{cell.finish:.2f}, {cell.cost:.2f} ×" for cell in cells]
        lines.append(f"| {_minutes(size)} | {' | '.join([*both, *parts])} | {at.stopped:.0f} |")
    return "\n".join(lines)


def table_of_variations(rows: Mapping[str, Sequence[Result]]) -> str:
    """Return finish and cost of the three loads for each setting."""
    names = [f"{load.name}: finish, cost" for load in LOADS]
    lines = [
        f"| changed | {' | '.join(names)} | large: repeated | given up |",
        "|---" * (len(names) + 3) + "|",
    ]
    for name, results in rows.items():
        both = " | ".join(f"{r.finish:.2f}, {r.cost:.2f} ×" for r in results)
        large = results[0]
        lines.append(f"| {name} | {both} | {100 * large.repeated:.1f} % | {large.given_up:.0f} |")
    return "\n".join(lines)


def table_of_lives(results: Mapping[tuple[float | None, float], Result]) -> str:
    """Return finish and cost for each shard size and mean life of a node."""
    names = ["nodes are never lost" if life is None else f"one loss per {life / 3600:g} h" for life in LIVES]
    lines = [
        f"| shard | {' | '.join(f'finish, cost: {name}' for name in names)} |",
        "|---" * (len(LIVES) + 1) + "|",
    ]
    for size in SIZES:
        cells = [results[life, size] for life in LIVES]
        both = " | ".join(f"{cell.finish:.3f}, {cell.cost:.3f} ×" for cell in cells)
        lines.append(f"| {_minutes(size)} | {both} |")
    return "\n".join(lines)


def _minutes(seconds: float) -> str:
    return f"{seconds:g} s" if seconds < 60 else f"{seconds / 60:g} min"


def draw(sweep: Sweep, path: Path) -> None:
    """Write a picture of finish and cost by shard size and cooldown, for each load, as SVG."""
    import altair as alt

    titles = {
        "large": "100,000 shards of 2 min",
        "small": "100 shards of 2 min",
        "evening": "20 times 100, every 10 min",
    }
    rows = [
        {
            "load": load,
            "minutes": size / 60,
            "cooldown": f"{cooldown:g} s",
            "finish": result.finish,
            "cost": result.cost,
        }
        for (load, size, cooldown), result in sweep.items()
    ]

    def chart(load: str, figure: str) -> alt.LayerChart:
        data = alt.InlineData(values=[row for row in rows if row["load"] == load])
        base = alt.Chart(data, width=210, height=150)
        axis = alt.Axis(values=[size / 60 for size in SIZES], format="~g")
        lines = base.mark_line(point=True, strokeWidth=2, opacity=0.8).encode(
            alt.X("minutes:Q", title="minutes of work in a shard", scale=alt.Scale(type="log"), axis=axis),
            alt.Y(f"{figure}:Q", title=f"{figure} / ideal", scale=alt.Scale(zero=False)),
            alt.Color("cooldown:N", sort=[f"{c:g} s" for c in COOLDOWNS]),
            alt.StrokeDash("cooldown:N", sort=[f"{c:g} s" for c in COOLDOWNS], legend=None),
        )
        rule = alt.Chart(alt.InlineData(values=[{"minutes": REFERENCE / 60}])).mark_rule(color="#bbb")
        found: alt.LayerChart = (rule.encode(alt.X("minutes:Q")) + lines).properties(title=titles[load])
        return found

    figures = [alt.hconcat(*(chart(load.name, figure) for load in LOADS)) for figure in ("finish", "cost")]
    alt.vconcat(*figures).configure_view(stroke=None).configure(background="white", aria=False).save(
        str(path)
    )
