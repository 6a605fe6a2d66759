"""Manifests: which lines are samples, and why the others are not."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.data.rows import MAX_LINE_BYTES, Line
from savs.data.samples import Reading, Sample, parse_line, read_samples
from savs.errors import BadRow, ManifestError, NotFound, SettingsError
from savs.storage import open_parent

# Three rows of a published file (CameraBench, has_pan_left), unchanged.
CAMERABENCH = """\
{"image": "/data3/zhiqiul/video_annotation/videos/KdfhMulBsyk.4.2.mp4", \
"question": "Does the camera pan to the left?", "question_id": 0, "label": "No"}
{"image": "/data3/zhiqiul/video_annotation/videos/DEypDAnnJL0.5.1.mp4", \
"question": "Does the camera pan to the left?", "question_id": 0, "label": "No"}
{"image": "/data3/zhiqiul/video_annotation/videos/0nTO4zSEpOs.60.6.mp4", \
"question": "Does the camera pan to the left?", "question_id": 0, "label": "Yes"}
"""


def written(folder: Path, text: str | bytes) -> str:
    path = folder / "manifest.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def parsed(row: Any, *, labelled: bool = False) -> Sample:
    data = row if isinstance(row, bytes) else json.dumps(row).encode()
    return parse_line(Line(4, 7, 100, len(data), data), Reading("/data"), labelled=labelled)


def refusal(row: Any, *, labelled: bool = False) -> str:
    with pytest.raises(BadRow) as caught:
        parsed(row, labelled=labelled)
    return str(caught.value)


def test_published_rows_are_read_as_they_are(tmp_path: Path) -> None:
    samples = read_samples(written(tmp_path, CAMERABENCH), labelled=True)
    assert [s.index for s in samples] == [0, 1, 2]
    assert [s.id for s in samples] == ["0", "0", "0"]
    assert [s.label for s in samples] == ["No", "No", "Yes"]
    assert {s.question for s in samples} == {"Does the camera pan to the left?"}
    assert samples[2].media == ("/data3/zhiqiul/video_annotation/videos/0nTO4zSEpOs.60.6.mp4",)


def test_a_row_may_have_several_pictures_or_one_or_none() -> None:
    assert parsed({"image": ["/a.png", "/b.mp4"], "question": "Same?"}).media == ("/a.png", "/b.mp4")
    assert parsed({"image": "/a.png", "question": "What?"}).media == ("/a.png",)
    assert parsed({"question": "Why?"}).media == ()
    assert parsed({"image": None, "question": "Why?"}).media == ()
    assert parsed({"image": [], "question": "Why?"}).media == ()


def test_relative_paths_lie_beside_the_manifest(tmp_path: Path) -> None:
    row = '{"image": ["a.png", "b/c.png", "/d.png", "s3://bucket/e.png"]}\n'
    [sample] = read_samples(written(tmp_path, row))
    assert sample.media == (f"{tmp_path}/a.png", f"{tmp_path}/b/c.png", "/d.png", "s3://bucket/e.png")


def test_relative_paths_of_a_manifest_on_s3_lie_beside_it(bucket: str) -> None:
    store, key = open_parent(f"s3://{bucket}/lists/all.jsonl")
    store.write(key, b'{"image": "a.png"}\n')
    [sample] = read_samples(f"s3://{bucket}/lists/all.jsonl")
    assert sample.media == (f"s3://{bucket}/lists/a.png",)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"question_id": "q-7"}, "q-7"),
        ({"question_id": 12}, "12"),
        ({"question_id": 0}, "0"),
        ({"question_id": -3}, "-3"),
        ({"id": "x"}, "x"),
        ({"question_id": "first", "id": "second"}, "first"),
        ({"question_id": None}, "4"),
        ({}, "4"),
    ],
)
def test_a_rows_id_is_its_question_id_or_its_number(fields: dict[str, Any], expected: str) -> None:
    assert parsed({"image": "/a.png", **fields}).id == expected


def test_question_and_label_may_be_missing_where_nothing_is_to_be_learned() -> None:
    sample = parsed({"image": "/a.png"})
    assert sample.question is None
    assert sample.label is None


@pytest.mark.parametrize("missing", ["question", "label"])
def test_question_and_label_may_not_be_missing_in_examples(missing: str) -> None:
    row = {"image": "/a.png", "question": "What?", "label": "cat"}
    assert parsed(row, labelled=True).label == "cat"
    assert f"'{missing}' is missing" in refusal({**row, missing: None}, labelled=True)


def test_unknown_fields_are_no_reason_to_refuse() -> None:
    assert parsed({"image": "/a.png", "source": {"deep": [1, 2]}}).media == ("/a.png",)


def test_questions_and_labels_are_kept_to_the_letter() -> None:
    sample = parsed({"question": "  Què és això?\n 😀", "label": " größer "})
    assert (sample.question, sample.label) == ("  Què és això?\n 😀", " größer ")


def test_windows_line_ends_a_byte_order_mark_and_blank_lines_are_no_trouble(tmp_path: Path) -> None:
    text = b'\xef\xbb\xbf{"question": "a"}\r\n\r\n   \n{"question": "b"}\r\n\n{"question": "c"}'
    samples = read_samples(written(tmp_path, text))
    assert [(s.index, s.question) for s in samples] == [(0, "a"), (1, "b"), (2, "c")]


def test_an_empty_manifest_has_no_samples(tmp_path: Path) -> None:
    assert read_samples(written(tmp_path, "")) == []
    assert read_samples(written(tmp_path, "\n\r\n")) == []


def test_a_manifest_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"gone\.jsonl"):
        read_samples(str(tmp_path / "gone.jsonl"))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"image": 3}, "'image' must be a path or a list of paths, not a number"),
        ({"image": {"path": "a"}}, "'image' must be a path or a list of paths, not an object"),
        ({"image": ["/a.png", None]}, "'image' must be a path or a list of paths, not null"),
        ({"image": ["/a.png", ["/b.png"]]}, "'image' must be a path or a list of paths, not a list"),
        ({"image": True}, "'image' must be a path or a list of paths, not true or false"),
        ({"image": ""}, "'image' holds an empty or unusable path"),
        ({"image": "/a\0.png"}, "'image' holds an empty or unusable path"),
        ({"question": 5}, "'question' must be text, not a number"),
        ({"question": ["Why?"]}, "'question' must be text, not a list"),
        ({"question": "  "}, "'question' is empty"),
        ({"image": "/a.png", "label": 1}, "'label' must be text, not a number"),
        ({"image": "/a.png", "label": ""}, "'label' is empty"),
        ({"image": "/a.png", "question_id": 1.5}, "'question_id' must be text or a whole number"),
        ({"image": "/a.png", "question_id": True}, "not true or false"),
        ({"image": "/a.png", "question_id": ["a"]}, "not a list"),
        ({"label": "cat"}, "neither 'image' nor 'question'"),
        ({}, "neither 'image' nor 'question'"),
        ([], "not an object but a list"),
        ("text", "not an object but text"),
        (3, "not an object but a number"),
        (None, "not an object but null"),
    ],
)
def test_a_row_of_wrong_types_is_refused_with_the_reason(row: Any, reason: str) -> None:
    assert reason in refusal(row)


@pytest.mark.parametrize("field", ["image", "question", "label", "question_id"])
def test_half_a_character_is_refused_with_its_field(field: str) -> None:
    row = {"image": "/a.png", "question": "What?", "label": "cat", field: "\ud800"}
    assert f"'{field}' contains a lone surrogate" in refusal(row)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b'{"image": "a.png"', "not JSON"),
        (b"image: a.png", "not JSON"),
        (b'{"image": "a.png"} {"image": "b.png"}', "not JSON"),
        (b'{"question": "\xff\xfe"}', "not UTF-8"),
        ('{"question": "Größe?"}'.encode("latin-1"), "not UTF-8: invalid start byte at byte 16"),
        ('{"question": "Why?"}'.encode("utf-16"), "not UTF-8"),
        (b'{"image": ' + b"[" * 200_000 + b"]" * 200_000 + b"}", "nested too deeply"),
        (b'{"question_id": ' + b"9" * 5000 + b', "question": "Why?"}', "not JSON"),
    ],
)
def test_a_line_that_is_no_json_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    assert reason in refusal(data)


def test_a_line_that_is_too_long_is_refused_and_the_next_is_read(tmp_path: Path) -> None:
    # given a line of three times the limit between two good ones
    long = b'{"question": "' + b"x" * (3 * MAX_LINE_BYTES) + b'"}\n'
    path = written(tmp_path, b'{"question": "a"}\n' + long + b'{"question": 1}\n')
    # then it is one bad line, and the count of lines goes on
    with pytest.raises(ManifestError) as caught:
        read_samples(path)
    assert [bad.line for bad in caught.value.lines] == [2, 3]
    assert f"the line has {len(long)} bytes" in caught.value.lines[0].reason


def test_all_bad_lines_are_named_at_once_by_cause(tmp_path: Path) -> None:
    text = '{"question": "good"}\n\n' + "bad\n" * 30
    with pytest.raises(ManifestError) as caught:
        read_samples(written(tmp_path, text))
    assert caught.value.count == 30
    assert [(bad.line, bad.count) for bad in caught.value.lines] == [(3, 30)]
    assert "manifest.jsonl:3: not JSON" in str(caught.value)
    assert "(also in lines 4, 5, 6 and 26 more)" in str(caught.value)


GOOD = [
    *(line.encode() for line in CAMERABENCH.splitlines()),
    b'{"image": ["a.png", "b.png"], "question": "Same?", "question_id": "q", "label": "yes"}',
    '{"question": "Größe? \\ud83d\\ude00", "label": "groß", "extra": {"a": [1, 2.5, null, true]}}'.encode(),
]
MUTATION = st.tuples(
    st.sampled_from(["insert", "replace", "delete", "repeat"]),
    st.integers(0, 10_000),
    st.binary(min_size=1, max_size=4)
    | st.sampled_from([b"{", b"[", b'"', b"\\ud800", b"null", b"1e9", b","]),
)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(GOOD), st.lists(MUTATION, min_size=1, max_size=6), st.booleans())
def test_whatever_a_line_holds_it_is_a_sample_or_a_bad_row(
    line: bytes, mutations: list[tuple[str, int, bytes]], labelled: bool
) -> None:
    for kind, place, piece in mutations:
        at = place % (len(line) + 1)
        end = {"insert": at, "replace": at + len(piece), "delete": at + len(piece), "repeat": at}[kind]
        middle = {"insert": piece, "replace": piece, "delete": b"", "repeat": line[at : at + 20]}[kind]
        line = line[:at] + middle + line[end:]
    try:
        sample = parsed(line, labelled=labelled)
    except BadRow as error:
        assert str(error)
        return
    assert sample.media or sample.question
    assert not labelled or (sample.question and sample.label)
    json.dumps([sample.id, sample.media, sample.question, sample.label]).encode("utf-8")


@pytest.mark.parametrize("media", ["a.jpg", Path("a.jpg"), ["a.jpg"], (Path("a.jpg"),)])
def test_a_sample_may_be_given_one_file_or_a_list_of_files(media: Any) -> None:
    assert Sample(media=media) == Sample(media=("a.jpg",))


def test_a_medium_that_is_neither_an_address_nor_an_image_is_refused() -> None:
    with pytest.raises(SettingsError, match="type int is not an image; pass a path"):
        Sample(media=3)  # type: ignore[arg-type]


def test_the_path_of_a_manifest_may_be_a_path_object(tmp_path: Path) -> None:
    path = written(tmp_path, CAMERABENCH)

    assert read_samples(Path(path)) == read_samples(path)


def test_an_unusable_manifest_is_named_if_its_path_is_a_path_object(tmp_path: Path) -> None:
    path = written(tmp_path, "no json\n")

    with pytest.raises(ManifestError, match=re.escape(path)):
        read_samples(Path(path))
