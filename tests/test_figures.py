"""The figures in the docs are those that the last whole benchmark left behind."""

import json
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_table_of_the_queues_figures_is_what_was_measured() -> None:
    report = json.loads((ROOT / "bench" / "results" / "queue.json").read_text())
    value = {figure["name"]: figure["value"] for figure in report["results"]}
    rows = [line for line in (ROOT / "docs" / "queue.md").read_text().splitlines() if line.startswith("| ")]

    def says(start: str, *figures: str) -> None:
        [row] = [row for row in rows if row.startswith(f"| {start}")]
        assert all(figure in row for figure in figures), (row, figures)

    says(
        "enqueue 100,000",
        f"{value['enqueue: 100,000 shards']:.1f} s",
        f"{value['enqueue: peak memory of the submitter']:.0f} MB",
        f"{value['enqueue: Redis, per shard'] / 1000:.2f} kB",
    )
    overhead = [f"{value[f'overhead: a shard, {place}']:.4f} s" for place in ("S3", "folder")]
    says("overhead of a shard", *overhead)
    one, two = (value[f"scaling: 200 shards of 1 s, {workers}"] for workers in ("1 worker", "2 workers"))
    says("200 shards of 1 s", f"{one:.0f} s and {two:.0f} s: {value['scaling: speed-up']:.2f} ×")
    for place, start in ("folder", "reduce 10,000 commits on"), ("S3", "reduce 10,000 commits through"):
        seconds = value[f"reduce: 10,000 commits, {place}"]
        more = f"{value[f'reduce: that above 1,000 commits, {place}']:.0f} MB"
        says(start, f"{seconds:.{1 if seconds < 1 else 0}f} s", more)
    says("plan 10^7 rows", f"{value['plan: 10^7 rows']:.0f} s", f"{value['plan: peak memory']:.0f} MB")
    small = value["fairness: the small job's 3 shards"]
    says(
        "a job of 3 shards",
        f"after {value['fairness: shards done before the small job']} shards",
        f"{small:.1f} s",
        f"{value['fairness: shards that FIFO does first']:,} shards",
    )


def test_the_tables_of_the_engines_figures_are_what_was_measured() -> None:
    def measured(name: str) -> dict[str, float]:
        report = json.loads((ROOT / "bench" / "results" / f"{name}.json").read_text())
        return {figure["name"]: figure["value"] for figure in report["results"]}

    text = (ROOT / "docs" / "performance.md").read_text()
    cells = [
        [c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")
    ]

    ratios = [f"{value:.1f} ×" for name, value in measured("loop").items() if ":" not in name]
    assert [row[3] for row in cells if len(row) == 5 and row[3].endswith("×")] == ratios

    without: dict[str, list[str]] = {}
    for name, value in measured("ablation").items():
        without.setdefault(name.split(": without ")[1], []).append(f"{value:.2f} ×")
    assert {row[0]: row[1:] for row in cells if row[0] in without} == without

    prepare = measured("prepare")
    for size in ("448 × 448", "500 × 375"):
        both = [f"{prepare[size + how]:.2f} ms" for how in ("", ", normalised by the processor")]
        assert [row[1:3] for row in cells if row[0] == size] == [both]

    scale = measured("scale")
    sizes = [name.removesuffix(": speed") for name in scale if name.endswith(": speed")]
    told = [[size, f"{scale[f'{size}: speed']:.0f}", f"{scale[f'{size}: memory']:.0f} MB"] for size in sizes]
    assert [row for row in cells if row[0] in sizes] == told
    assert f"over that of 500: {scale['memory: many items over few']:.2f} ×" in text


def test_the_table_of_a_gpus_figures_is_what_was_measured() -> None:
    text = (ROOT / "docs" / "performance.md").read_text()
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    told = {row[0]: row[1:4] for row in rows if len(row) == 5}
    found: dict[str, list[str]] = {}
    for card in ("h100-before", "h100", "h200"):
        file = ROOT / "bench" / "results" / "gpu" / f"qwen2.5-vl-7b-{card}.jsonl"
        steps = {step["step"]: step for step in map(json.loads, file.read_text().splitlines())}
        value = {figure["name"]: figure["value"] for step in steps.values() for figure in step["figures"]}
        busy = steps["busy"]["details"]
        kernels, inside = busy["seconds"]["kernels"], busy["seconds"]["first to last"]
        steady = kernels / (inside - busy["longest gaps, ms"][0] / 1e3)
        for name, cell in {
            "pictures a second, from file to label": f"{value['pictures: items/s']:.1f}",
            "operations, over those of a matrix product": f"{value['pictures: of the matrix product']:.3f}",
            "kernel time over time, from the first kernel to the last": f"{kernels / inside:.3f}",
            "the same without the longest gap": f"{steady:.3f}",
            "kernel time of a picture": f"{1e3 * kernels / busy['items']:.1f} ms",
        }.items():
            found.setdefault(name, []).append(cell)

    assert {name: told[name] for name in found} == found
