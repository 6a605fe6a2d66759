"""Result rows in COCO's format: images, categories, and a category for each image that has one."""

import json
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Any

Row = dict[str, Any]


def coco_lines(rows: Iterable[Row]) -> Iterator[bytes]:
    """Yield a JSON object. An annotation has `score` and no box, as it concerns the whole image; an image's
    `id` is the row's index. Rows that failed have no annotation."""
    names: dict[str, int] = {}
    with tempfile.TemporaryFile() as annotations:
        yield b'{"images": ['
        comma, number = b"", 0
        for row in rows:
            media = row.get("media") or []
            image = {"id": row["index"], "file_name": media[0] if media else "", "savs_id": row["id"]}
            yield comma + b"\n" + json.dumps(image, ensure_ascii=False).encode()
            for name in _names(row):
                found = {
                    "id": number,
                    "image_id": row["index"],
                    "category_id": names.setdefault(name, len(names)),
                }
                score = (row.get("scores") or {}).get(name, row.get("confidence"))
                found |= {} if score is None else {"score": score}
                annotations.write((b"," if number else b"") + b"\n" + json.dumps(found).encode())
                number += 1
            comma = b","
        yield b'\n],\n"annotations": ['
        yield from _blocks(annotations)
        categories = [{"id": place, "name": name} for name, place in names.items()]
        yield b'\n],\n"categories": ' + json.dumps(categories, ensure_ascii=False).encode() + b"}\n"


def _names(row: Row) -> list[str]:
    found: list[str] = row.get("predictions") or []
    return found or ([row["prediction"]] if row.get("prediction") is not None else [])


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while block := file.read(2**20):
        yield block
