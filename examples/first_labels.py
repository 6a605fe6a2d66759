# %% [markdown]
# # First labels
# From images in memory to labels. Run `python -m savs.demo.corpus demo-run` first.

# %%
import json
from pathlib import Path

from PIL import Image

import savs

folder = Path("demo-run/stroke")
rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
question = rows[0]["question"]

# %% Twenty examples per class: images and their labels
model = savs.load_model("demo")
examples = [Image.open(folder / row["image"]) for row in rows]
labels = [row["label"] for row in rows]
found = savs.extract(model, examples, question)

# %% The images to label come from a generator, so few of them are in memory at a time
paths = sorted((folder / "corpus").glob("*.png"))[:30]
corpus = savs.extract(model, (Image.open(path) for path in paths), question)

# %% Fit, and label
readout = savs.fit(found.vectors, labels, mode="auto")
answers = savs.classify(readout, corpus.vectors)
for path, answer in zip(paths[:5], answers, strict=False):
    print(f"{path.name}: {answer.prediction} ({answer.confidence:.2f})")

# %% The readout is one small file
readout.save("demo-run/stroke.safetensors")
again = savs.LinearReadout.load("demo-run/stroke.safetensors")
print(savs.classify(again, corpus.vectors) == answers)
