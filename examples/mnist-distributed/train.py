"""Train a convolutional network on MNIST with parameter servers and workers, in TensorFlow.

Every process of the cluster runs this script; TF_CONFIG says which one it is, as Kubeflow's tf-operator and
`launch.py` set it. Parameter servers hold the weights. Workers compute gradients and apply them without
waiting for each other. The chief hands out the steps, measures, and is the one that reports to tune.

Keras 3 does not train with parameter servers, so the network is written in TensorFlow itself.
"""

import argparse
import json
import os

import numpy as np
import tensorflow as tf
from mnist_data import load

import tune

DEFAULTS = {"learning_rate": 0.1, "batch_size": 32, "hidden_size": 64}
SHAPES = {"conv1": (5, 5, 1, 8), "conv2": (5, 5, 8, 16)}  # height, width, channels in and out


def read_cluster():
    """The cluster, and this process's job and number in it, from TF_CONFIG.

    In a job without a chief, with parameter servers and workers only, the first worker becomes the chief.
    """
    if "TF_CONFIG" not in os.environ:
        raise SystemExit("no TF_CONFIG: start this with  python launch.py --ps 1 --workers 2 python train.py")
    config = json.loads(os.environ["TF_CONFIG"])
    cluster, job, index = config["cluster"], config["task"]["type"], config["task"]["index"]
    if "chief" not in cluster:
        first, *others = cluster["worker"]
        if not others:  # the chief would wait for ever
            raise SystemExit("TF_CONFIG has neither a chief nor a second worker")
        cluster = {**cluster, "chief": [first], "worker": others}
        if job == "worker":
            job, index = ("chief", 0) if index == 0 else ("worker", index - 1)
    return cluster, job, index


def he_normal(shape):
    """Random weights with a variance of 2 / inputs. He, K. et al. (2015), https://arxiv.org/abs/1502.01852"""
    return tf.random.truncated_normal(shape, stddev=(2 / np.prod(shape[:-1])) ** 0.5)


class Network:
    """Two convolutions, each with a pool, and two dense layers: pixels (n, 28, 28) to logits (n, 10)."""

    def __init__(self, hidden_size):
        flat = 7 * 7 * SHAPES["conv2"][-1]
        shapes = {**SHAPES, "hidden": (flat, hidden_size), "out": (hidden_size, 10)}
        self.weights = {name: tf.Variable(he_normal(shape)) for name, shape in shapes.items()}
        self.biases = {name: tf.Variable(tf.zeros(shape[-1:])) for name, shape in shapes.items()}
        self.variables = [*self.weights.values(), *self.biases.values()]

    def __call__(self, pixels):
        x = tf.cast(pixels, tf.float32)[..., None] / 255
        for name in SHAPES:
            x = tf.nn.conv2d(x, self.weights[name], strides=1, padding="SAME") + self.biases[name]
            x = tf.nn.max_pool2d(tf.nn.relu(x), ksize=2, strides=2, padding="SAME")
        x = tf.reshape(x, (tf.shape(x)[0], -1))
        x = tf.nn.relu(x @ self.weights["hidden"] + self.biases["hidden"])
        return x @ self.weights["out"] + self.biases["out"]


def train(cluster, args, params):
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(cluster), task_type="chief", task_id=0, rpc_layer="grpc"
    )
    strategy = tf.distribute.ParameterServerStrategy(resolver)
    coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
    data = load(args.images)
    x, x_test = to_bytes(data.x_train), to_bytes(data.x_test)
    held_out = len(x) // 6
    with strategy.scope():
        network = Network(params["hidden_size"])

    def batches():
        # Sent to each worker once. Without a seed, each of them has another order.
        dataset = tf.data.Dataset.from_tensor_slices((x[held_out:], data.y_train[held_out:]))
        return dataset.shuffle(len(x)).repeat().batch(params["batch_size"])

    @tf.function
    def step(iterator):
        pixels, digits = next(iterator)
        with tf.GradientTape() as tape:
            logits = network(pixels)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(digits, logits))
        for variable, gradient in zip(network.variables, tape.gradient(loss, network.variables), strict=True):
            variable.assign_sub(params["learning_rate"] * gradient)

    @tf.function
    def right(pixels, digits):
        return tf.math.count_nonzero(tf.argmax(network(pixels), axis=1) == digits)

    def accuracy(pixels, digits):
        some = [slice(start, start + 1000) for start in range(0, len(digits), 1000)]
        return float(sum(right(pixels[each], digits[each]) for each in some)) / len(digits)

    iterator = iter(coordinator.create_per_worker_dataset(batches))
    for _ in range(args.epochs):
        for _ in range((len(x) - held_out) // params["batch_size"]):
            coordinator.schedule(step, args=(iterator,))
        coordinator.join()
        validation = accuracy(x[:held_out], data.y_train[:held_out])
        tune.report_intermediate_result(validation)
    tune.report_final_result({"default": validation, "test": accuracy(x_test, data.y_test)})


def to_bytes(images):
    """A quarter of the size to send: (n, 28, 28) from 0..1 to 0..255."""
    return (images * 255).round().astype(np.uint8)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=24000, help="how many to learn from")
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()

    cluster, job, index = read_cluster()
    if job == "chief":
        train(cluster, args, {**DEFAULTS, **tune.get_next_parameter()})
    else:
        # A thread for each that may wait for another; else, on a machine with few cores, all wait for ever.
        threads = max(len(cluster["worker"]) + 1, os.cpu_count() or 1)
        config = tf.compat.v1.ConfigProto(inter_op_parallelism_threads=threads)
        tf.distribute.Server(cluster, job_name=job, task_index=index, protocol="grpc", config=config).join()


if __name__ == "__main__":
    main()
