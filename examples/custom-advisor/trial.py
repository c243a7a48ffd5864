"""A learning curve that falls towards the quality of its parameters."""

import time

import tune

params = {"x": 0.5, "y": 0.5, **tune.get_next_parameter()}
quality = (params["x"] - 0.3) ** 2 + (params["y"] - 0.6) ** 2
for step in range(1, 21):
    tune.report_intermediate_result(quality + 1 / step)
    time.sleep(0.05)  # a step of a real training takes longer
tune.report_final_result(quality)
