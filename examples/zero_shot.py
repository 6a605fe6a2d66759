# %% [markdown]
# # Zero-shot against a few examples
# The model itself is asked which class is likelier; then 20 examples per class do the same.

# %%
from PIL import Image

import savs

model = savs.load_model("demo")
examples = savs.read_samples("demo-run/stroke/train.jsonl", labelled=True)
items = savs.read_samples("demo-run/stroke/corpus.jsonl")[:30]
labels = [item.label for item in items]
classes = list(dict.fromkeys(example.label for example in examples))

# %% Zero-shot: the likelihood of each class name as the answer
prompts = [savs.Prompt(tuple(map(Image.open, item.media)), item.question) for item in items]
likelihoods = savs.likeliest(model, prompts, classes)
asked = [max(one, key=one.get) for one in likelihoods]
print(f"zero-shot: {savs.score(labels, asked).accuracy:.2f}")

# %% With the examples
found = savs.extract(model, examples)
corpus = savs.extract(model, items)
readout = savs.fit(found.vectors, [sample.label for sample in found.samples], mode="auto")
answers = savs.classify(readout, corpus.vectors)
scores = savs.score(labels, answers)
low, high = scores.accuracy_interval
print(f"20 examples per class: {scores.accuracy:.2f} ({low:.2f} to {high:.2f})")
