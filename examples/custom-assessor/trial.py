"""Gradient descent on x**4, which a learning rate that is too large throws off course."""

import time

import tune

params = {"rate": 0.01, **tune.get_next_parameter()}
x = 3.0
for _ in range(30):
    x -= params["rate"] * 4 * x**3
    x = max(-1e3, min(1e3, x))
    tune.report_intermediate_result(x**4)
    time.sleep(0.05)  # a step of a real training takes longer
tune.report_final_result(x**4)
