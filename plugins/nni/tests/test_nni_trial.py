"""`import nni` in a trial: each test runs a real interpreter, as a trial does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tune.host import trial_environment


def run_trial(script: str, directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("TUNE_", "NNI_"))}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**clean, **environment},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def in_experiment(directory: Path, parameters: object = None) -> dict[str, str]:
    (directory / "parameter.json").write_text(json.dumps(parameters or {"lr": 0.1}))
    return trial_environment(
        platform="local",
        experiment_id="abcd1234",
        trial_id="Xk3Qa",
        attempt=0,
        sequence=7,
        channel=f"file:{directory / 'messages.jsonl'}",
        output_dir=str(directory / "output"),
        checkpoint_dir=str(directory / "checkpoint"),
        code_dir=str(directory),
        parameter_file=str(directory / "parameter.json"),
    )


def printed(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_nni_loads_next_to_nothing(tmp_path: Path) -> None:
    script = "import sys, tune; before = set(sys.modules); import nni; print(*set(sys.modules) - before)"
    loaded = set(printed(run_trial(script, tmp_path)).split())
    assert loaded == {
        *("nni", "nni.trial", "nni.common", "nni.common.exception"),
        *("nni.runtime", "nni.runtime.absent", "nni.runtime.environment", "nni.runtime.sdk"),
    }


def test_import_nni_works_where_tune_core_is_not(tmp_path: Path) -> None:
    script = """
        import sys
        sys.modules["tune_core"] = sys.modules["numpy"] = None
        import nni
        from nni.utils import merge_parameter
        print(merge_parameter({"lr": 1.0}, {"lr": 2}))
    """
    assert printed(run_trial(script, tmp_path)) == "{'lr': 2.0}\n"


def test_standalone_trial_has_defaults_of_nni(tmp_path: Path) -> None:
    script = """
        import nni
        params = {"lr": 0.5}
        params.update(nni.get_next_parameter())
        print(params, nni.get_parameters(), nni.get_next_parameters())
        print(nni.get_experiment_id(), nni.get_trial_id(), nni.get_sequence_id())
        nni.report_intermediate_result(0.25)
        nni.report_final_result({"default": 1, "loss": 2})
    """
    assert printed(run_trial(script, tmp_path)).splitlines() == [
        "{'lr': 0.5} {} {}",
        "STANDALONE STANDALONE 0",
        "tune: intermediate result 0: 0.25",
        'tune: final result: {"default":1,"loss":2}',
    ]


def test_trial_gets_parameters_once_and_reports(tmp_path: Path) -> None:
    script = """
        import nni
        print(nni.get_current_parameter(), nni.get_next_parameter(), nni.get_next_parameter())
        print(nni.get_current_parameter("lr"), nni.get_experiment_id(), nni.get_trial_id())
        print(nni.get_sequence_id())
        nni.report_intermediate_result(0.5)
        nni.report_final_result(0.75)
    """
    out = printed(run_trial(script, tmp_path, **in_experiment(tmp_path)))
    assert out.splitlines() == ["None {'lr': 0.1} None", "0.1 abcd1234 Xk3Qa", "7"]
    sent = [json.loads(line) for line in (tmp_path / "messages.jsonl").read_text().splitlines()]
    assert [(each["type"], each["value"]) for each in sent] == [("intermediate", 0.5), ("final", 0.75)]


@pytest.mark.parametrize("function", ["report_intermediate_result", "report_final_result"])
def test_report_before_get_next_parameter_asserts(tmp_path: Path, function: str) -> None:
    done = run_trial(f"import nni; nni.{function}(1)", tmp_path, **in_experiment(tmp_path))
    expected = f"AssertionError: nni.get_next_parameter() needs to be called before {function}"
    assert done.returncode == 1
    assert expected in done.stderr
    assert not (tmp_path / "messages.jsonl").exists()


def test_second_final_result_is_refused_with_a_warning(tmp_path: Path) -> None:
    script = "import nni; nni.get_next_parameter(); nni.report_final_result(1); nni.report_final_result(2)"
    done = run_trial(script, tmp_path, **in_experiment(tmp_path))
    assert "already reported its final result" in done.stderr
    assert len((tmp_path / "messages.jsonl").read_text().splitlines()) == 1


def test_variables_of_nni_are_set_in_a_trial_alone(tmp_path: Path) -> None:
    script = """
        import nni, os
        names = ["PLATFORM", "EXP_ID", "TRIAL_JOB_ID", "TRIAL_SEQ_ID", "OUTPUT_DIR", "SYS_DIR", "CODE_DIR"]
        print([os.environ.get("NNI_" + name) for name in names])
    """
    output = str(tmp_path / "output")
    expected = ["local", "abcd1234", "Xk3Qa", "7", output, output, str(tmp_path)]
    assert printed(run_trial(script, tmp_path, **in_experiment(tmp_path))) == f"{expected}\n"
    assert printed(run_trial(script, tmp_path)) == f"{[None] * 7}\n"


def test_overwritten_sequence_is_checked(tmp_path: Path) -> None:
    script = "from nni.trial import overwrite_intermediate_seq as f; f(3); print('fine'); f(-1)"
    done = run_trial(script, tmp_path)
    assert done.stdout == "fine\n"
    assert "AssertionError: an intermediate result has a number from 0, not -1" in done.stderr


def test_choice_family_draws_alone(tmp_path: Path) -> None:
    script = """
        import nni, random
        random.seed(1)
        assert {nni.choice("a", "b", name="x") for _ in range(50)} == {"a", "b"}
        assert {nni.randint(2, 5) for _ in range(100)} == {2, 3, 4}
        assert {nni.quniform(2, 10, 5) for _ in range(100)} == {2, 5, 10}
        assert all(1 <= nni.loguniform(1, 100) <= 100 for _ in range(100))
        assert nni.qnormal(0, 10, 2) % 2 == 0
        assert nni.lognormal(0, 1) > 0
        assert nni.function_choice(lambda: 7) == 7
    """
    printed(run_trial(script, tmp_path))


def test_choice_family_takes_the_trial_s_values(tmp_path: Path) -> None:
    script = """
        import nni
        print(nni.choice({"a": 10, "b": 20}, key="mod/x/choice"), nni.choice("a", "b", name="x"))
        print(nni.uniform(0, 1, key="mod/y/uniform"), nni.uniform(0, 1, name="y"))
        nni.normal(0, 1, name="z")
    """
    parameters = {"mod/x/choice": "b", "mod/y/uniform": 0.5}
    done = run_trial(script, tmp_path, **in_experiment(tmp_path, parameters))
    assert done.stdout == "20 b\n0.5 0.5\n"
    assert "this trial has no parameter 'z'" in done.stderr
