"""PBT: who copies whom, whose checkpoint is loaded, what becomes of failures. Lower is better."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tune_pbt.advisor import PbtAdvisor
from tune_pbt.selection import State, leaders_and_laggards, turn_of

from tune_core import (
    AskTell,
    ConfigError,
    Observation,
    Parameters,
    SearchSpace,
    SearchSpaceError,
    TrialState,
)
from tune_core.config import load_config
from tune_core.config.algorithm import checked_arguments
from tune_core.objectives import Objectives

SPACE = SearchSpace.parse(
    {"x": {"_type": "uniform", "_value": [0, 1]}, "c": {"_type": "choice", "_value": list("abcde")}}
)
DONE, FAILED = TrialState.SUCCEEDED, TrialState.FAILED


def made(root: Path, seed: int = 0, space: SearchSpace = SPACE, **options: Any) -> PbtAdvisor:
    """A population of five, of which two lead and two lag."""
    advisor = PbtAdvisor(**{"population_size": 5, "fraction": 0.4, **options})
    advisor.set_seed(seed)
    advisor.set_directory(root)
    advisor.update_search_space(space)
    return advisor


def start(advisor: PbtAdvisor, number: int) -> Parameters:
    parameters = advisor.propose(number)
    assert parameters is not None
    advisor.register_pending(number, parameters)
    return parameters


def end(advisor: PbtAdvisor, number: int, value: float | None) -> None:
    advisor.trial_end(number, FAILED if value is None else DONE, value)


def epoch(advisor: PbtAdvisor, first: int, values: list[float | None]) -> list[Parameters]:
    """All members run at once, and end in this order of members."""
    ran = [start(advisor, first + member) for member in range(len(values))]
    for member, value in enumerate(values):
        end(advisor, first + member, value)
    return ran


def plain(parameters: Parameters) -> Parameters:
    return {name: parameters[name] for name in ("x", "c")}


def where(root: Path, folder: str) -> str:
    return str(Path(folder).relative_to(root / "checkpoints"))


def states(*values: float) -> dict[int, State]:
    return {member: State({}, str(member), value) for member, value in enumerate(values)}


def test_leaders_are_the_best_and_laggards_the_worst() -> None:
    assert leaders_and_laggards(states(5, 1, 4, 2, 3), [], 0.2) == ([1], {0})
    assert leaders_and_laggards(states(5, 1, 4, 2, 3), [], 0.4) == ([1, 3], {0, 2})
    assert leaders_and_laggards(states(5, 1, 4, 2, 3), [], 0.21) == ([1, 3], {0, 2})  # rounded up, as in NNI
    assert leaders_and_laggards(states(7, 7, 7), [], 0.3) == ([0], {2})
    assert leaders_and_laggards(states(1.0), [], 0.2) == ([0], set())  # alone, it leads


def test_all_that_failed_lag() -> None:
    assert leaders_and_laggards(states(5, 1), [2, 3, 4], 0.2) == ([1], {2, 3, 4})
    assert leaders_and_laggards(states(5, 1, 4, 2), [4], 0.2) == ([1], {4})
    assert leaders_and_laggards({}, [0, 1], 0.2) == ([], {0, 1})


def test_laggards_copy_any_leader() -> None:
    rng, population = np.random.default_rng(0), states(5, 1, 4, 2, 3)
    turns = [turn_of(0, population[0], population, [], 0.4, rng) for _ in range(100)]
    assert {turn.origin and turn.origin.checkpoint for turn in turns} == {"1", "3"}
    assert all(turn.explores for turn in turns)
    assert turn_of(4, population[4], population, [], 0.4, rng) == (4, population[4], False)


def test_first_epoch_begins_anew_and_saves_under_its_member(tmp_path: Path) -> None:
    advisor = made(tmp_path)
    ran = [start(advisor, number) for number in range(5)]
    assert [where(tmp_path, each["save_checkpoint_dir"]) for each in ran] == [f"{m}/0" for m in range(5)]
    assert [where(tmp_path, each["load_checkpoint_dir"]) for each in ran] == [f"{m}/start" for m in range(5)]
    assert len({each["x"] for each in ran}) == 5
    for each in ran:
        SPACE.check(plain(each))


def test_second_epoch_exploits_and_explores(tmp_path: Path) -> None:
    advisor = made(tmp_path, resample_probability=0.0)
    first = epoch(advisor, 0, [5.0, 1.0, 4.0, 2.0, 3.0])
    second = [start(advisor, 5 + member) for member in range(5)]
    saved = [each["save_checkpoint_dir"] for each in first]
    assert [where(tmp_path, each["save_checkpoint_dir"]) for each in second] == [f"{m}/1" for m in range(5)]
    for member in (1, 3, 4):  # leaders and those between go on as they are
        assert second[member]["load_checkpoint_dir"] == saved[member]
        assert plain(second[member]) == plain(first[member])
    for member in (0, 2):
        loaded = saved.index(second[member]["load_checkpoint_dir"])
        assert loaded in (1, 3)
        parent, child = first[loaded], second[member]
        assert child["x"] in (
            pytest.approx(max(parent["x"] - 0.2, 0.0)),
            pytest.approx(min(parent["x"] + 0.2, 1.0)),
        )
        assert abs("abcde".index(child["c"]) - "abcde".index(parent["c"])) <= 1


def test_no_member_begins_an_epoch_before_all_have_ended_the_last(tmp_path: Path) -> None:
    advisor = made(tmp_path)
    for number in range(5):
        start(advisor, number)
    for number in range(5):
        assert advisor.propose(5) is None
        end(advisor, number, float(number))
    assert advisor.propose(5) is not None


def test_the_order_in_which_trials_end_does_not_matter(tmp_path: Path) -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    proposals = []
    for order in ([0, 1, 2, 3, 4], [3, 4, 0, 2, 1]):
        advisor = made(tmp_path)
        for number in range(5):
            start(advisor, number)
        for number in order:
            end(advisor, number, values[number])
        proposals.append([start(advisor, number) for number in range(5, 10)])
    assert proposals[0] == proposals[1]


def test_failed_members_copy_good_ones(tmp_path: Path) -> None:
    advisor = made(tmp_path)
    first = epoch(advisor, 0, [None, 1.0, None, 2.0, None])
    second = [start(advisor, 5 + member) for member in range(5)]
    good = [first[1]["save_checkpoint_dir"], first[3]["save_checkpoint_dir"]]
    assert [second[member]["load_checkpoint_dir"] for member in (1, 3)] == good
    assert all(second[member]["load_checkpoint_dir"] in good for member in (0, 2, 4))


def test_where_all_fail_each_goes_on_from_where_it_was(tmp_path: Path) -> None:
    advisor = made(tmp_path)
    first = epoch(advisor, 0, [1.0, 2.0, 3.0, 4.0, None])
    second = epoch(advisor, 5, [None] * 5)
    third = [start(advisor, 10 + member) for member in range(5)]
    assert [each["load_checkpoint_dir"] for each in third[:4]] == [
        each["save_checkpoint_dir"] for each in first[:4]
    ]
    assert where(tmp_path, third[4]["load_checkpoint_dir"]) == "4/start"  # it never had a result
    assert [where(tmp_path, each["save_checkpoint_dir"]) for each in third] == [f"{m}/2" for m in range(5)]
    assert plain(third[0]) != plain(second[0])


def test_a_trial_without_a_result_counts_as_failed(tmp_path: Path) -> None:
    advisor = made(tmp_path, population_size=2, fraction=0.5)
    first = [start(advisor, number) for number in range(2)]
    advisor.trial_end(0, TrialState.USER_CANCELED, None)
    advisor.trial_end(1, DONE, 9.0)
    assert start(advisor, 2)["load_checkpoint_dir"] == first[1]["save_checkpoint_dir"]


def test_asynchronous_members_go_on_at_once(tmp_path: Path) -> None:
    advisor = made(tmp_path, asynchronous=True)
    ran = [start(advisor, number) for number in range(5)]
    assert advisor.propose(5) is None
    end(advisor, 2, 4.0)  # the only one by now: it leads
    alone = start(advisor, 5)
    assert (alone["load_checkpoint_dir"], plain(alone)) == (ran[2]["save_checkpoint_dir"], plain(ran[2]))
    assert where(tmp_path, alone["save_checkpoint_dir"]) == "2/1"
    end(advisor, 1, 1.0)  # the better of two
    assert start(advisor, 6)["load_checkpoint_dir"] == ran[1]["save_checkpoint_dir"]
    end(advisor, 0, 5.0)  # the worst of three, of whom two lead: 1 and 2
    assert start(advisor, 7)["load_checkpoint_dir"] in (
        ran[1]["save_checkpoint_dir"],
        ran[2]["save_checkpoint_dir"],
    )
    end(advisor, 5, 0.5)  # member 2 again, now the best
    again = start(advisor, 8)
    assert again["load_checkpoint_dir"] == alone["save_checkpoint_dir"]
    assert where(tmp_path, again["save_checkpoint_dir"]) == "2/2"


def test_asynchronous_member_that_failed_copies_a_leader(tmp_path: Path) -> None:
    advisor = made(tmp_path, asynchronous=True)
    ran = [start(advisor, number) for number in range(5)]
    end(advisor, 0, None)  # nobody has a result yet: it begins anew
    assert where(tmp_path, start(advisor, 5)["load_checkpoint_dir"]) == "0/start"
    end(advisor, 1, 1.0)
    end(advisor, 5, None)
    start(advisor, 6)  # member 1
    copied = start(advisor, 7)
    assert where(tmp_path, copied["save_checkpoint_dir"]) == "0/2"
    assert copied["load_checkpoint_dir"] == ran[1]["save_checkpoint_dir"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_replaying_the_record_in_mid_epoch_goes_on_as_before(tmp_path: Path, asynchronous: bool) -> None:
    live, resumed = (made(tmp_path, asynchronous=asynchronous) for _ in range(2))
    rng = np.random.default_rng(0)
    running: list[int] = []
    for number in range(43):
        while (parameters := live.propose(number)) is None or len(running) == 3:
            ended = running.pop(int(rng.integers(len(running))))
            value = None if rng.random() < 0.2 else float(rng.random())
            for each in (live, resumed):
                end(each, ended, value)
        assert resumed.propose(number) == parameters
        for each in (live, resumed):
            each.register_pending(number, parameters)
        running.append(number)
    assert len(running) == 3
    for ended in running:
        for each in (live, resumed):
            end(each, ended, 0.5)
    assert resumed.propose(43) == live.propose(43)


def test_a_record_of_another_version_is_followed(tmp_path: Path) -> None:
    advisor = made(tmp_path, population_size=1)
    assert advisor.propose(0) is not None
    advisor.register_pending(0, {"x": 0.125, "c": "a", "save_checkpoint_dir": "/old/0/0"})
    end(advisor, 0, 1.0)
    second = start(advisor, 1)
    assert (second["x"], second["load_checkpoint_dir"]) == (0.125, "/old/0/0")


def test_trials_of_the_users_own_are_no_members(tmp_path: Path) -> None:
    advisor = made(tmp_path)
    advisor.register_pending(0, {"x": 0.5, "c": "a"})
    end(advisor, 0, -100.0)
    ran = epoch(advisor, 1, [5.0, 1.0, 4.0, 2.0, 3.0])
    assert {start(advisor, 6)["load_checkpoint_dir"]} <= {each["save_checkpoint_dir"] for each in ran}


def test_members_begin_with_the_best_that_is_imported(tmp_path: Path) -> None:
    advisor = made(tmp_path)
    advisor.import_data(
        [
            Observation({"x": 0.1, "c": "a"}, 3.0),
            Observation({"x": 0.2, "c": "b", "save_checkpoint_dir": "/gone"}, 1.0),
            Observation({"x": 2.0, "c": "b"}, 0.0),  # not of this space
        ]
    )
    ran = [start(advisor, number) for number in range(5)]
    assert [plain(each) for each in ran[:2]] == [{"x": 0.2, "c": "b"}, {"x": 0.1, "c": "a"}]
    assert where(tmp_path, ran[0]["load_checkpoint_dir"]) == "0/start"


def test_new_space_keeps_checkpoints_and_draws_what_does_not_fit(tmp_path: Path) -> None:
    advisor = made(tmp_path)
    first = epoch(advisor, 0, [5.0, 1.0, 4.0, 2.0, 3.0])
    raw = {**SPACE.raw, "x": {"_type": "uniform", "_value": [5, 6]}}
    advisor.update_search_space(SearchSpace.parse(raw))
    second = [start(advisor, 5 + member) for member in range(5)]
    assert all(5 <= each["x"] <= 6 for each in second)
    assert second[1]["load_checkpoint_dir"] == first[1]["save_checkpoint_dir"]


def test_proposals_share_nothing_with_what_is_kept(tmp_path: Path) -> None:
    space = SearchSpace.parse({"c": {"_type": "choice", "_value": [{"sizes": [1]}, {"sizes": [2]}]}})
    advisor = made(tmp_path, space=space, population_size=1)
    epoch(advisor, 0, [1.0])
    changed, kept = advisor.propose(1), advisor.propose(1)
    assert changed is not None
    changed["c"]["sizes"].append(3)
    assert advisor.propose(1) == kept


def save(parameters: Parameters) -> None:
    folder = Path(parameters["save_checkpoint_dir"])
    folder.mkdir(parents=True)
    (folder / "weights").write_text("...")


def folders(root: Path) -> list[str]:
    return sorted(str(each.relative_to(root)) for each in root.glob("*/*"))


def saved_epoch(advisor: PbtAdvisor, first: int, values: list[float | None]) -> list[Parameters]:
    ran = [start(advisor, first + member) for member in range(len(values))]
    for parameters in ran:
        save(parameters)
    for member, value in enumerate(values):
        end(advisor, first + member, value)
    return ran


def test_checkpoints_that_nobody_can_load_are_removed(tmp_path: Path) -> None:
    advisor, root = made(tmp_path), tmp_path / "checkpoints"
    saved_epoch(advisor, 0, [5.0, 1.0, 4.0, 2.0, 3.0])
    assert folders(root) == [f"{member}/0" for member in range(5)]
    values = [6.0, 7.0, 8.0, 9.0, 10.0]
    for number in range(5, 10):
        save(start(advisor, number))
    for number in range(5, 9):
        end(advisor, number, values[number - 5])
    # What may yet be loaded when the last one fails is there, and what it runs from.
    assert {"4/0", "4/1", "0/1", "1/1", "2/1", "3/1", "1/0"} <= set(folders(root))
    end(advisor, 9, 10.0)
    # The present epoch, and that of the best trial.
    assert folders(root) == ["0/1", "1/0", "1/1", "2/1", "3/1", "4/1"]


def test_checkpoint_of_a_failed_trial_is_removed_and_what_it_began_with_stays(tmp_path: Path) -> None:
    advisor, root = made(tmp_path, population_size=2, fraction=0.5), tmp_path / "checkpoints"
    saved_epoch(advisor, 0, [1.0, 2.0])
    saved_epoch(advisor, 2, [None, None])
    assert folders(root) == ["0/0", "1/0"]
    assert Path(start(advisor, 4)["load_checkpoint_dir"]).is_dir()


def test_every_checkpoint_that_is_to_be_loaded_is_there(tmp_path: Path) -> None:
    for asynchronous in (False, True):
        root = tmp_path / str(asynchronous)
        advisor = made(root, asynchronous=asynchronous)
        rng = np.random.default_rng(1)
        running: dict[int, Parameters] = {}
        for number in range(150):
            while (parameters := advisor.propose(number)) is None or len(running) == 4:
                ended = int(rng.choice(list(running)))
                load = running.pop(ended)["load_checkpoint_dir"]
                assert load.endswith("start") or Path(load).is_dir()  # also at its very end
                end(advisor, ended, None if rng.random() < 0.3 else float(rng.random()))
            advisor.register_pending(number, parameters)
            running[number] = parameters
            assert (
                parameters["load_checkpoint_dir"].endswith("start")
                or (Path(parameters["load_checkpoint_dir"]) / "weights").is_file()
            )
            save(parameters)
        assert len(folders(root / "checkpoints")) <= 5 + 5 + 4 + 1


def test_checkpoints_are_kept_if_asked_for(tmp_path: Path) -> None:
    advisor = made(tmp_path, keep_checkpoints=True)
    for number in range(3):
        saved_epoch(advisor, 5 * number, [5.0, 1.0, 4.0, 2.0, 3.0])
    assert len(folders(tmp_path / "checkpoints")) == 15


def test_only_folders_that_were_handed_out_are_removed(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    (root / "0" / "99").mkdir(parents=True)
    (root / "0" / "start").mkdir()
    outside = tmp_path / "elsewhere" / "0" / "0"
    outside.mkdir(parents=True)
    advisor = made(tmp_path, all_checkpoint_dir=str(root), population_size=1)
    assert advisor.propose(0) is not None
    advisor.register_pending(0, {"x": 0.125, "c": "a", "save_checkpoint_dir": str(outside)})
    end(advisor, 0, 1.0)
    for number in range(1, 4):
        save(start(advisor, number))
        end(advisor, number, -float(number))
    assert folders(root) == ["0/3", "0/99", "0/start"]
    assert outside.is_dir()


def test_checkpoints_are_where_the_user_wants_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    advisor = made(tmp_path / "experiment", all_checkpoint_dir="~/nni/checkpoint")
    assert start(advisor, 0)["save_checkpoint_dir"] == str(tmp_path / "nni" / "checkpoint" / "0" / "0")
    assert not advisor.needs_folder
    with pytest.raises(ConfigError, match=r"all_checkpoint_dir 'here/there' is relative"):
        PbtAdvisor(all_checkpoint_dir="here/there")


def test_parameters_must_not_have_the_names_of_the_folders(tmp_path: Path) -> None:
    space = SearchSpace.parse({"save_checkpoint_dir": {"_type": "uniform", "_value": [0, 1]}})
    with pytest.raises(SearchSpaceError, match="save_checkpoint_dir: trials find a folder under this name"):
        made(tmp_path, space=space)


@pytest.mark.parametrize("given", [{"factor": 0.3}, {"factors": 0.3}, {"factors": [1.3, 0.7]}])
def test_factor_is_taken_in_all_forms_of_nni(given: dict[str, Any]) -> None:
    assert checked_arguments(PbtAdvisor, given)["factor"] == pytest.approx(0.3)


@pytest.mark.parametrize("given", [{"factors": [1.3, 0.9]}, {"factor": 0}, {"fraction": 0.6}])
def test_arguments_beyond_sense_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        checked_arguments(PbtAdvisor, given)


def test_remark_counts_epochs(tmp_path: Path) -> None:
    advisor, objectives = made(tmp_path), Objectives.of("maximize", {})
    assert advisor.remark(objectives, 40) == "40 trials are 8 epochs of 5 members"
    assert advisor.remark(objectives, 7) == "7 trials are 1 epoch of 5 members, and one more of 2"
    assert "until it is stopped" in advisor.remark(objectives, None)


CONFIG = """
searchSpace: {x: {_type: uniform, _value: [0, 1]}}
trialCommand: "true"
trialCodeDirectory: .
trialConcurrency: 2
maxTrialNumber: 20
tuner: {name: PBTTuner, classArgs: {optimize_mode: maximize}}
trainingService: {platform: local}
"""


def problems(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "config.yml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "config.yml")
    return [problem.message for problem in caught.value.problems]


def test_is_configured_as_a_tuner_and_takes_no_assessor(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text(CONFIG)
    assert "PBT: 20 trials are 2 epochs of 10 members" in load_config(tmp_path / "config.yml").remarks
    [problem] = problems(tmp_path, CONFIG + "assessor: {name: Medianstop}\n")
    assert problem == "PBT is an advisor, which stops trials itself"


def test_other_machines_need_a_folder_that_they_share(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("")
    remote = CONFIG.replace(
        "{platform: local}", "{platform: remote, machineList: [{host: example.org, user: me}]}"
    )
    [problem] = problems(tmp_path, remote)
    assert problem == (
        "PBT needs a folder that all trials see, and those on remote do not see this machine's; "
        "name one that all machines share: all_checkpoint_dir"
    )
    shared = remote.replace("optimize_mode: maximize", "optimize_mode: maximize, all_checkpoint_dir: /shared")
    (tmp_path / "config.yml").write_text(shared)
    load_config(tmp_path / "config.yml")


def test_asks_and_tells_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    search = AskTell("PBT", SPACE, mode="minimize", seed=0, arguments={"population_size": 3})
    for _ in range(9):
        asked = search.ask()
        assert asked is not None
        search.tell(asked, asked.parameters["x"])
    assert asked.parameters["save_checkpoint_dir"] == str(tmp_path / "tune-standalone" / "pbt" / "2" / "2")
