"""Train a support vector machine or a forest on scikit-learn's handwritten digits, by cross-validation.

Run alone it takes the defaults below; in an experiment `tune.get_next_parameter` replaces them. The search
space is nested: only the parameters of the model that is chosen are there.
"""

from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import tune

DEFAULTS = {"model": {"_name": "svm", "C": 1.0, "gamma": 0.01}}


def build(model):
    if model["_name"] == "svm":
        return make_pipeline(StandardScaler(), SVC(C=model["C"], gamma=model["gamma"]))
    return RandomForestClassifier(
        n_estimators=model["trees"], max_features=model["max_features"], random_state=0
    )


def main():
    params = {**DEFAULTS, **tune.get_next_parameter()}
    images, digits = load_digits(return_X_y=True)
    accuracies = []
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    for train, test in folds.split(images, digits):
        model = build(params["model"]).fit(images[train], digits[train])
        accuracies.append(model.score(images[test], digits[test]))
        tune.report_intermediate_result(sum(accuracies) / len(accuracies))
    tune.report_final_result(sum(accuracies) / len(accuracies))


if __name__ == "__main__":
    main()
