# %% [markdown]
# # A job that savs-submit ran
# `make demo` leaves this one. Any workspace will do, also `s3://bucket/prefix`, and while a job still runs:
#
#     savs-submit run --model demo --name strokes --workspace demo-run/results \
#         --train demo-run/stroke/train.jsonl --data demo-run/stroke/corpus.jsonl

# %%
import savs

job = savs.open_job("demo-run/results", "strokes")
print(job, job.summary["rows"], job.summary["accuracy"])

# %% Its rows, one at a time
for row in job.rows():
    if row.get("confidence", 0) < 0.6:
        print(row["id"], row["prediction"], row["confidence"])

# %% Or all at once
frame = job.to_pandas()
wrong = frame[(frame["prediction"] != frame["label"]) & frame["error"].isna()]
print(f"{len(wrong)} of {len(frame)} differ from the known label")
print(job.to_arrow().schema.names)

# %% The artifact that labelled them can label more
model = savs.load_model("demo")
more = savs.extract(model, ["demo-run/stroke/train/0000.png"], question=job.artifact.manifest.question)
print(savs.classify(job.artifact.readout, more.vectors)[0].prediction)
