# %% [markdown]
# # A DataFrame in, a DataFrame out
# Columns are those of a manifest: `image`, `question`, `label`, `id`; others come back in `extra`.

# %%
import pandas as pd

import savs

folder = "demo-run/stroke/"
train = pd.read_json(folder + "train.jsonl", lines=True)
train["image"] = folder + train["image"]
table = pd.DataFrame({"image": [f"{folder}corpus/{n:04d}.png" for n in range(30)], "camera": "north"})
table.loc[3, "image"] = None  # a missing cell
table.loc[7, "image"] = "gone.png"  # a file that does not exist

# %% A bad row costs only itself
model = savs.load_model("demo")
found = savs.extract(model, train)
corpus = savs.extract(model, table, question=train["question"][0])
print(corpus.errors)

# %% Labels are a column
readout = savs.fit(found.vectors, train["label"], mode="auto")
answers = savs.classify(readout, corpus.vectors)

# %% One frame with a row per item: answers, and the errors of those without
frame = answers.to_pandas(corpus)
print(frame[["id", "prediction", "confidence", "margin", "error"]].head(9))
print(frame.groupby("prediction")["confidence"].agg(["size", "mean"]))

# %% The least certain first, to look at
print(frame.sort_values("confidence")[["media", "prediction", "confidence"]].head(3))
