"""What the README shows is true."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from tune_local.config import LocalConfig

from tune_core.config.checking import check, keys_of

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_example_of_the_readme_is_valid() -> None:
    found = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert found
    config = check(LocalConfig, yaml.safe_load(found.group(1))["trainingService"])
    assert (config.gpu_indices, config.max_trial_number_per_gpu, config.warm) == ((0, 1), 2, True)


def test_every_option_is_in_the_readme_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]*) \|", README, re.MULTILINE))
    assert set(rows) == set(keys_of(LocalConfig)) - {"platform"}
    fields = LocalConfig.model_fields
    for name, key in (("max_trial_number_per_gpu", "maxTrialNumberPerGpu"), ("kill_grace", "killGrace")):
        assert rows[key] == str(fields[name].default)
    assert rows["outputLimit"] == str(fields["output_limit"].default)
    assert rows["warm"] == str(fields["warm"].default).lower()
