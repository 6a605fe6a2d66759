"""Writes the corpora that `make demo` labels: `python -m savs.demo.corpus FOLDER`.

Two tasks that the demo model was never taught, in the form of ordinary user data: files, and JSONL
manifests that list them. Twenty labelled examples per class, and a corpus to label.
"""

import argparse
import json
import random
from pathlib import Path

from savs.demo.scenes import CLIP_FPS
from savs.demo.unseen import TASKS, Media, UnseenTask

SEED = 1118
EXAMPLES = 20  # per class
CORPUS = {"stroke": 300, "movement": 90}  # items


def write_corpus(folder: Path, task: UnseenTask, items: int, seed: int = SEED) -> None:
    """Write `train.jsonl`, `corpus.jsonl` and their media into `folder`."""
    rng = random.Random(f"{seed} {task.name}")
    sets = {
        "train": [name for _ in range(EXAMPLES) for name in task.classes],
        "corpus": [rng.choice(task.classes) for _ in range(items)],
    }
    for split, labels in sets.items():
        (folder / split).mkdir(parents=True, exist_ok=True)
        rows = []
        for number, label in enumerate(labels):
            path = folder / split / f"{number:04d}{'.mp4' if task.clip else '.png'}"
            save(task.draw(label, rng), path)
            rows.append(
                {
                    "image": path.relative_to(folder).as_posix(),
                    "question": task.question,
                    "label": label,
                    "question_id": number,
                }
            )
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def save(media: Media, path: Path) -> None:
    """Save an image as PNG, or a video as MPEG-4 at CLIP_FPS."""
    if path.suffix != ".mp4":
        media[0].save(path)
        return
    import av
    import numpy as np

    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=round(CLIP_FPS))
        stream.width, stream.height = media[0].size
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 2_000_000
        for picture in media:
            frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    for task in TASKS:
        if task.name in CORPUS:
            write_corpus(arguments.folder / task.name, task, CORPUS[task.name])
            print(f"wrote {CORPUS[task.name]} items to {arguments.folder / task.name}")
