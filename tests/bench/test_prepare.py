"""The benchmark of preparation, with few pictures."""

from bench import prepare


def test_bytes_are_prepared_faster_than_normalised_pixels() -> None:
    model = prepare.processor_alone()

    figures = prepare.measure(model, (448, 448), runs=3, batch=4)

    by_name = {figure.name: figure for figure in figures}
    assert len(by_name) == 5 and all(figure.value > 0 for figure in figures)
    assert by_name["448 × 448"].bar == "≤ 1.5"
    assert by_name["448 × 448"].value < by_name["448 × 448, normalised by the processor"].value
