"""Train a small neural network to read handwritten digits, with the hyper-parameters that `tune` proposes.

Run alone it takes the defaults below; in an experiment `tune.get_next_parameter` replaces them. After each
epoch it reports the accuracy on data that it has not seen, so that an assessor can stop a hopeless trial.
"""

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

import tune

EPOCHS = 20
DEFAULTS = {
    "hidden_units": 32,
    "hidden_layers": 1,
    "activation": "relu",
    "learning_rate": 0.01,
    "momentum": 0.9,
    "batch_size": 64,
    "l2": 0.0001,
}


def load_data():
    """Images of 8 x 8 pixels: x_train (1203, 64), x_test (594, 64), y_train (1203,), y_test (594,)."""
    images, digits = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(
        images, digits, test_size=0.33, stratify=digits, random_state=0
    )
    scale = StandardScaler().fit(x_train)
    return scale.transform(x_train), scale.transform(x_test), y_train, y_test


def build(params):
    return MLPClassifier(
        hidden_layer_sizes=(int(params["hidden_units"]),) * params["hidden_layers"],
        activation=params["activation"],
        solver="sgd",
        learning_rate_init=params["learning_rate"],
        momentum=params["momentum"],
        batch_size=params["batch_size"],
        alpha=params["l2"],
        random_state=0,
    )


def main():
    params = {**DEFAULTS, **tune.get_next_parameter()}
    x_train, x_test, y_train, y_test = load_data()
    network = build(params)
    for _ in range(EPOCHS):
        network.partial_fit(x_train, y_train, classes=np.arange(10))
        accuracy = network.score(x_test, y_test)
        tune.report_intermediate_result(accuracy)
    tune.report_final_result(accuracy)


if __name__ == "__main__":
    main()
