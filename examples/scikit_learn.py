# %% [markdown]
# # Head vectors in scikit-learn
# `SavsClassifier` is an estimator; HeadVectors are an array of features to every other one.

# %%
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import savs

model = savs.load_model("demo")
found = savs.extract(model, savs.read_samples("demo-run/stroke/train.jsonl", labelled=True))
labels = [sample.label for sample in found.samples]

# %% Five folds of the examples, with readouts of savs and with a logistic regression
estimators = {
    "savs": savs.SavsClassifier(),
    "published vote": savs.SavsClassifier("reference"),
    "logistic regression": make_pipeline(StandardScaler(), LogisticRegression()),
}
for name, estimator in estimators.items():
    print(f"{name}: {cross_val_score(estimator, found.vectors, labels).mean():.2f}")

# %% How many heads should vote?
grid = GridSearchCV(savs.SavsClassifier("reference"), {"heads": [5, 20, 72]}).fit(found.vectors, labels)
print(grid.best_params_)

# %% An estimator that was fitted holds a readout of savs
classifier = savs.SavsClassifier().fit(found.vectors, labels)
print(classifier.classes_, classifier.predict_proba(found.vectors[:2]).round(2))
print(classifier.readout_)
