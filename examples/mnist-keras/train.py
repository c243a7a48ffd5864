"""Train a convolutional network on MNIST with Keras 3: two convolutions, one pooling, two dense layers.

Run alone it takes the defaults below; in an experiment `tune.get_next_parameter` replaces them. KERAS_BACKEND
says what computes: torch, jax or tensorflow. Networks are compared on training images that are held out.
"""

import argparse

import keras
from keras import layers
from mnist_data import load
from tune_keras import TuneCallback

import tune

DEFAULTS = {"hidden_size": 128, "dropout_rate": 0.25, "optimizer": "adam", "learning_rate": 0.001}


def build(params):
    optimizer = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}[params["optimizer"]]
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(params["hidden_size"], activation="relu"),
            layers.Dropout(params["dropout_rate"]),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(
        optimizer(params["learning_rate"]), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=12000, help="how many to learn from")
    parser.add_argument("--epochs", type=int, default=4)
    args = parser.parse_args()
    params = {**DEFAULTS, **tune.get_next_parameter()}
    keras.utils.set_random_seed(0)

    x, y, x_test, y_test = load(args.images)[1:]
    x, x_test = x[..., None], x_test[..., None]  # (n, 28, 28, 1): one channel, which comes last
    held_out = len(x) // 6
    model = build(params)
    history = model.fit(
        x[held_out:],
        y[held_out:],
        batch_size=64,
        epochs=args.epochs,
        validation_data=(x[:held_out], y[:held_out]),
        validation_batch_size=500,
        callbacks=[TuneCallback("val_accuracy", final=False)],
        verbose=0,
    )
    _, accuracy = model.evaluate(x_test, y_test, batch_size=500, verbose=0)
    tune.report_final_result({"default": history.history["val_accuracy"][-1], "test": accuracy})


if __name__ == "__main__":
    main()
