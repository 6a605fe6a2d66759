"""Result rows as lines of JSON, whatever the manifest's row holds beside its format's fields."""

import json
from typing import Any

import pytest

from jobs.records.row import ResultRow
from savs.data.rows import Line
from savs.data.samples import Reading, parse_line
from savs.errors import BadRow


def extra_of(value: str) -> dict[str, Any]:
    """The `extra` of the result of a row with `value`, read as strictly as by other languages."""
    data = f'{{"image": "a.png", "x": {value}}}'.encode()
    sample = parse_line(Line(0, 1, 0, len(data), data), Reading("/", "general", ""), labelled=False)
    assert sample.extra is not None
    line = ResultRow(index=0, id="0", task="pets", extra=dict(sample.extra)).line()
    assert line.count(b"\n") == 1

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    found: dict[str, Any] = json.loads(line.decode(), parse_constant=refuse)["extra"]
    return found


@pytest.mark.parametrize(
    "value", ['"\\ud800"', '{"\\udfff": ["a\\ud800\\n"]}', '"\\u001b[31m\\u202e\\u2028"']
)
def test_half_characters_and_control_characters_come_back_as_they_were(value: str) -> None:
    assert extra_of(value) == {"x": json.loads(value)}


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "1e999"])
def test_numbers_that_json_does_not_have_are_null(value: str) -> None:
    assert extra_of(f'[1.5, {{"a": {value}}}]') == {"x": [1.5, {"a": None}]}


def test_a_value_that_is_nested_too_deeply_to_be_written_fails_only_its_row() -> None:
    assert extra_of("[" * 90 + "]" * 90)
    for depth in (120, 500, 900, 985, 990, 995):
        with pytest.raises(BadRow, match="nested"):
            extra_of("[" * depth + "]" * depth)
