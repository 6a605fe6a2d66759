"""Result rows as tasks of Label Studio: a prediction each, and the known label as an annotation."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from savs.data.media import is_video

Row = dict[str, Any]


def task_lines(rows: Iterable[Row]) -> Iterator[bytes]:
    """Yield a JSON list of tasks, as Label Studio imports them. The labelling interface needs
    `<Choices name="label" toName="item">`, and an object tag `item` of `$media`; `id` and `index` are in the
    data, by which corrections find their rows again."""
    begin = b"[\n"
    for row in rows:
        yield begin + json.dumps(_task(row), ensure_ascii=False).encode()
        begin = b",\n"
    yield b"\n]\n" if begin != b"[\n" else b"[]\n"


def _task(row: Row) -> Row:
    media = row.get("media") or []
    data: Row = {"id": row["id"], "index": row["index"], "task": row["task"]}
    data |= {"media": media[0] if len(media) == 1 else media, "video": any(map(is_video, media))}
    data |= {"error": row["error"]["kind"]} if row.get("error") else {}
    said = row.get("predictions") or ([row["prediction"]] if row.get("prediction") is not None else [])
    task: Row = {"data": data}
    if said:
        version = row.get("artifact") or row["task"]
        prediction: Row = {"model_version": version, "result": [_choices(said, row)]}
        task["predictions"] = [prediction | _scored(row)]
    label = row.get("label")
    if label is not None:
        task["annotations"] = [{"result": [_choices(label if isinstance(label, list) else [label], row)]}]
    return task


def _scored(row: Row) -> Row:
    return {} if row.get("confidence") is None else {"score": row["confidence"]}


def _choices(names: list[str], row: Row) -> Row:
    # The same id each time the row is exported, as Label Studio asks for one per result.
    return {
        "id": f"{row['task']}-{row['index']}",
        "from_name": "label",
        "to_name": "item",
        "type": "choices",
        "value": {"choices": names},
    }
