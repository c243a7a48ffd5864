"""What a trial script sees: each test runs a real interpreter, as a trial does."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest


def run_trial(script: str, directory: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TUNE_")}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**clean, **environment},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def in_experiment(directory: Path) -> "dict[str, str]":
    (directory / "parameter.json").write_text('{"lr": 0.1, "units": 32}')
    return {
        "TUNE_PLATFORM": "local",
        "TUNE_EXPERIMENT_ID": "abcd1234",
        "TUNE_TRIAL_ID": "Xk3Qa",
        "TUNE_TRIAL_ATTEMPT": "1",
        "TUNE_TRIAL_SEQUENCE": "7",
        "TUNE_PARAMETER_FILE": str(directory / "parameter.json"),
        "TUNE_CHANNEL": "file:" + str(directory / "messages.jsonl"),
        "TUNE_OUTPUT_DIR": str(directory / "output"),
        "TUNE_CHECKPOINT_DIR": str(directory / "checkpoint"),
    }


def messages(directory: Path) -> "list[dict[str, object]]":
    return [json.loads(line) for line in (directory / "messages.jsonl").read_text().splitlines()]


def test_import_loads_next_to_nothing(tmp_path: Path) -> None:
    script = "import sys; before = set(sys.modules); import tune; print(*sorted(set(sys.modules) - before))"
    loaded = run_trial(script, tmp_path).stdout.split()
    assert set(loaded) <= {"__future__", "tune", "tune.spaces", "tune.trial", "tune.utils"}


def test_standalone_has_no_parameters_and_prints(tmp_path: Path) -> None:
    result = run_trial(
        """
        import tune
        print(tune.get_current_parameter(), tune.get_next_parameter(), tune.get_next_parameter())
        print(tune.get_experiment_id(), tune.get_trial_id(), tune.get_sequence_id())
        tune.report_intermediate_result(0.5)
        tune.report_intermediate_result({"default": 1, "loss": float("nan")})
        tune.report_final_result(float("inf"))
        """,
        tmp_path,
    )
    assert result.stdout.splitlines() == [
        "None {} {}",
        "STANDALONE STANDALONE 0",
        "tune: intermediate result 0: 0.5",
        'tune: intermediate result 1: {"default":1,"loss":"NaN"}',
        "tune: final result: Infinity",
    ]
    assert result.stderr == ""


def test_standalone_takes_parameters_from_the_environment(tmp_path: Path) -> None:
    script = "import tune; print(tune.get_next_parameter()['lr'])"
    assert run_trial(script, tmp_path, TUNE_PARAMETERS='{"lr": 0.25}').stdout == "0.25\n"


@pytest.mark.parametrize(
    ("text", "error"), [("{lr: 1}", "TUNE_PARAMETERS: not JSON"), ("[1]", "JSON object")]
)
def test_parameters_that_are_no_object_are_refused(tmp_path: Path, text: str, error: str) -> None:
    assert error in run_trial("import tune; tune.get_next_parameter()", tmp_path, TUNE_PARAMETERS=text).stderr


def test_trial_finds_its_parameters_and_ids(tmp_path: Path) -> None:
    result = run_trial(
        """
        import tune
        print(tune.get_parameters(), tune.get_next_parameters(), tune.get_current_parameter("units"))
        print(tune.get_current_parameter())
        print(tune.get_experiment_id(), tune.get_trial_id(), tune.get_sequence_id())
        """,
        tmp_path,
        **in_experiment(tmp_path),
    )
    assert result.stdout.splitlines() == [
        "{'lr': 0.1, 'units': 32} None 32",
        "{'lr': 0.1, 'units': 32}",
        "abcd1234 Xk3Qa 7",
    ]


def test_reports_are_lines_of_the_channel_file(tmp_path: Path) -> None:
    result = run_trial(
        """
        import tune
        tune.report_intermediate_result(0.5)
        tune.report_intermediate_result({"default": float("-inf"), "note": "a\\nb"})
        tune.report_final_result(3)
        """,
        tmp_path,
        **in_experiment(tmp_path),
    )
    assert result.stderr == ""
    records = messages(tmp_path)
    assert [(record["type"], record["value"]) for record in records] == [
        ("intermediate", 0.5),
        ("intermediate", {"default": "-Infinity", "note": "a\nb"}),
        ("final", 3),
    ]
    assert {(record["tune"], record["trial"], record["attempt"]) for record in records} == {(1, "Xk3Qa", 1)}


def test_reports_without_locks_and_fdatasync_as_on_windows(tmp_path: Path) -> None:
    script = """
        import os, sys
        sys.modules["fcntl"] = None
        del os.fdatasync
        import tune
        tune.report_intermediate_result(1)
        tune.report_final_result(2)
        """
    assert run_trial(script, tmp_path, **in_experiment(tmp_path)).stderr == ""
    assert [record["value"] for record in messages(tmp_path)] == [1, 2]


def test_second_final_is_refused_with_a_warning(tmp_path: Path) -> None:
    script = "import tune; tune.report_final_result(1); tune.report_final_result(2); print('went on')"
    result = run_trial(script, tmp_path, **in_experiment(tmp_path))
    assert result.stdout == "went on\n"
    assert "RuntimeWarning: this trial has already reported its final result; 2 is ignored" in result.stderr
    assert [record["value"] for record in messages(tmp_path)] == [1]


def test_refused_final_may_be_mended(tmp_path: Path) -> None:
    script = """
        import tune
        try:
            tune.report_final_result("good")
        except TypeError:
            tune.report_final_result(0.5)
        """
    assert run_trial(script, tmp_path, **in_experiment(tmp_path)).stderr == ""
    assert [record["value"] for record in messages(tmp_path)] == [0.5]


def test_forked_children_and_threads_share_the_channel(tmp_path: Path) -> None:
    result = run_trial(
        """
        import os, threading, tune
        children = []
        for child in range(4):
            pid = os.fork()
            if pid == 0:
                def report(thread):
                    for number in range(50):
                        tune.report_intermediate_result({"default": 0, "from": [child, thread, number]})
                threads = [threading.Thread(target=report, args=(t,)) for t in range(4)]
                [t.start() for t in threads]
                [t.join() for t in threads]
                os._exit(0)
            children.append(pid)
        assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
        """,
        tmp_path,
        **in_experiment(tmp_path),
    )
    assert result.stderr == ""
    seen = [tuple(record["value"]["from"]) for record in messages(tmp_path)]
    assert len(seen) == len(set(seen)) == 800
    for child in range(4):
        for thread in range(4):  # each writer's own order is kept
            assert [n for c, t, n in seen if (c, t) == (child, thread)] == list(range(50))


def test_stdout_carrier_numbers_messages_of_forked_children(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    environment = {**in_experiment(tmp_path), "TUNE_CHANNEL": "stdout:s3cret"}
    result = run_trial(
        """
        import os, sys, tune
        sys.stdout.write("half a line")
        tune.report_intermediate_result(1)
        if os.fork() == 0:
            tune.report_intermediate_result(2)
            os._exit(0)
        os.wait()
        tune.report_final_result(3)
        """,
        tmp_path,
        **environment,
    )
    lines = result.stdout.splitlines()
    assert lines[0] == "half a line"
    records = [json.loads(line[len("s3cret ") :]) for line in lines if line.startswith("s3cret ")]
    assert [(record["seq"], record["value"]) for record in records] == [(0, 1), (1, 2), (2, 3)]


def test_directories_exist_when_asked_for(tmp_path: Path) -> None:
    script = "import os, tune; print(*map(os.path.isdir, (tune.get_checkpoint_dir(), tune.get_output_dir())))"
    assert run_trial(script, tmp_path, **in_experiment(tmp_path)).stdout == "True True\n"
    assert (tmp_path / "checkpoint").is_dir()
    assert run_trial(script, tmp_path).stdout == "True True\n"
    assert (tmp_path / "tune-standalone" / "checkpoint").is_dir()


def test_platform_without_channel_is_an_error(tmp_path: Path) -> None:
    result = run_trial("import tune; tune.report_final_result(1)", tmp_path, TUNE_PLATFORM="local")
    assert "Pass the whole environment on to child processes" in result.stderr
