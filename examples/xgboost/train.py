"""Train gradient-boosted trees on scikit-learn's breast-cancer data, by cross-validation.

Run alone it takes the defaults below; in an experiment `tune.get_next_parameter` replaces them. After each
round of boosting the callback reports the log loss, so that an assessor can stop a hopeless trial.
"""

import xgboost
from sklearn.datasets import load_breast_cancer
from tune_xgboost import TuneCallback

import tune

ROUNDS = 100
DEFAULTS = {
    "eta": 0.3,
    "max_depth": 6,
    "min_child_weight": 1.0,
    "subsample": 1.0,
    "colsample_bytree": 1.0,
    "lambda": 1.0,
}


def main():
    params = {**DEFAULTS, **tune.get_next_parameter()}
    data = xgboost.DMatrix(*load_breast_cancer(return_X_y=True))
    xgboost.cv(
        {"objective": "binary:logistic", "eval_metric": "logloss", "nthread": 1, "seed": 0, **params},
        data,
        ROUNDS,
        nfold=5,
        stratified=True,
        seed=0,
        early_stopping_rounds=20,
        callbacks=[TuneCallback("test-logloss")],
    )


if __name__ == "__main__":
    main()
