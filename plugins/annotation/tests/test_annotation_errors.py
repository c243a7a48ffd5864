"""What is wrong with annotations: all of it at once, each with its place and what would be right."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tune_annotation.finding import read_source
from tune_annotation.reader import AnnotatedCode
from tune_annotation.rewriting import expanded

from tune_core import ConfigError
from tune_core.config.problems import Problem

VARIABLE = '"""@nni.variable(nni.choice(1, 2), name=x)"""'


def problems(folder: Path, code: str | bytes, name: str = "train.py") -> list[Problem]:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(code if isinstance(code, bytes) else code.encode())
    began = time.process_time()
    with pytest.raises(ConfigError) as caught:
        AnnotatedCode().search_space(folder)
    assert time.process_time() - began < 1
    found = list(caught.value.problems)
    assert all(problem.place is not None for problem in found)
    assert all(str(problem) in str(caught.value).replace("\n    ", "\n  ") for problem in found)
    return found


def annotated(text: str, following: str = "x = 1") -> str:
    """A file with an annotation in line 3."""
    return f'import os\n\n"""{text}"""\n{following}\n'


CORPUS: list[tuple[str, str | tuple[int, int], str]] = [  # the code, at what it is wrong, and how
    # calls
    (
        annotated("@nni.variabel(nni.choice(1, 2), name=x)"),
        "nni.v",
        "no annotation 'variabel', did you mean 'variable'?",
    ),
    (annotated("@nni.report_final(x)"), "nni.", "did you mean 'report_final_result'?"),
    (annotated("@nni.variable"), "nni.", "is not a call: parentheses are missing"),
    (
        annotated("@nni.variable(nni.choice(1, 2), name=x"),
        "(nni",
        "is no Python expression: '(' was never closed",
    ),
    ('import os\n\n"@nni.variable(nni.choice(1, 2), name=x) )"\nx = 1\n', ')"', "unmatched ')'"),
    (annotated("@nni.variable(nni.choice(1, 2) name=x)"), "nni.c", "is no Python expression"),
    (annotated("@nni.a.b()"), "nni.", "is no annotation"),
    (annotated("@nni. variable(nni.choice(1, 2), name=x) or 1"), "nni. ", "is no annotation"),
    # variable: its arguments
    (annotated("@nni.variable(nni.choice(1, 2))"), "nni.v", "name= is missing"),
    (annotated("@nni.variable(name=x)"), "nni.", "takes one nni call and name=, not 0"),
    (
        annotated("@nni.variable(nni.choice(1), nni.choice(2), name=x)"),
        "nni.v",
        "takes one nni call and name=, not 2",
    ),
    (
        annotated("@nni.variable(nni.choice(1, 2), name='x')"),
        "'x')",
        "name is a string; it is code: write x without",
    ),
    (
        annotated("@nni.variable(nni.choice(1, 2), name=f())"),
        "f())",
        "name is what the next line assigns to, not f()",
    ),
    (annotated("@nni.variable(nni.choice(1, 2), name=x, q=1)"), '1)""', "takes no q=, only name="),
    (annotated("@tune.variable(tune.choice(1, 2), name=x, **k)"), 'k)""', "takes no **, only name="),
    # variable: the type
    (
        annotated("@nni.variable(nni.chioce(1, 2), name=x)"),
        "nni.c",
        "no type 'chioce', did you mean 'choice'?",
    ),
    (annotated("@nni.variable(choice(1, 2), name=x)"), "choi", "choice is to be written nni.choice"),
    (annotated("@nni.variable(np.choice(1, 2), name=x)"), "np.c", "np.choice(1, 2) is no nni call"),
    (annotated("@nni.variable(nni.choice, name=x)"), "nni.c", "nni.choice is no nni call"),
    (annotated("@nni.variable(5, name=x)"), "5, n", "5 is no nni call"),
    (annotated("@nni.variable(nni.choice(), name=x)"), "nni.c", "choice has no options"),
    (annotated("@nni.variable(nni.choice(1, 2, 1.0), name=x)"), "1.0)", "option 1.0 occurs twice"),
    (annotated("@nni.variable(nni.choice('f()', f()), name=x)"), "f())", "option f() occurs twice"),
    (
        annotated("@nni.variable(nni.choice(*range(3)), name=x)"),
        "*ran",
        "*range(3): options are written out one by one",
    ),
    (annotated("@nni.variable(nni.uniform(low, 1), name=x)"), "low,", "low is no number: uniform(low, high)"),
    (
        annotated("@nni.variable(nni.uniform(0), name=x)"),
        "nni.u",
        "uniform takes 2 numbers, uniform(low, high), not 1",
    ),
    (annotated("@nni.variable(nni.uniform(low=0, high=1), name=x)"), "0, h", "uniform takes no keywords"),
    (annotated("@nni.variable(nni.uniform(1, 0), name=x)"), '"""@', "low 1 must be less than high 0"),
    (annotated("@nni.variable(nni.randint(0.5, 2), name=x)"), '"""@', "low must be an integer, not 0.5"),
    (annotated("@nni.variable(nni.loguniform(0, 1), name=x)"), '"""@', "low 0 must be greater than 0"),
    (annotated("@nni.variable(nni.quniform(0, 1, 0), name=x)"), '"""@', "q 0 must be greater than 0"),
    (annotated("@nni.variable(nni.normal(0, True), name=x)"), "True", "True is no number"),
    # variable: what follows
    (annotated("@nni.variable(nni.choice(1, 2), name=x)", ""), '"""@', "has no target"),
    (
        annotated("@nni.variable(nni.choice(1, 2), name=x)", "y = 1"),
        '"""@',
        "name=x is not what line 4 assigns to",
    ),
    (
        annotated("@nni.variable(nni.choice(1, 2), name=x)", "print(x)"),
        '"""@',
        "is not followed by an assignment",
    ),
    (
        annotated("@nni.variable(nni.choice(1, 2), name=x)", "x += 1"),
        '"""@',
        "is not followed by an assignment",
    ),
    (
        annotated("@nni.variable(nni.choice(1, 2), name=x)", "x: int"),
        '"""@',
        "is not followed by an assignment",
    ),
    (annotated("@nni.variable(nni.choice(1, 2), name=x)", "x = y = 1"), '"""@', "assignment to 2 targets"),
    (
        annotated("@nni.variable(nni.choice(1, 2), name=x)", "if x:\n    x = 1"),
        '"""@',
        "not followed by an assignment",
    ),
    (
        annotated("@nni.variable(nni.choice(1, 2), name=x)", "'@nni.get_next_parameter()'"),
        '"""@',
        "is followed by another annotation",
    ),
    (
        'def f():\n    """@nni.variable(nni.choice(1, 2), name=x)"""\nx = 1\n',
        '"""@',
        "has no target: no statement follows it in this block",
    ),
    (
        f"{VARIABLE}\nx = 1\n{VARIABLE.replace('2', '3')}\nx = 1\n",
        '"""@nni.variable(nni.choice(1, 3',
        "train/x/choice is something else in {}:1:1: choice [1, 2] there, choice [1, 3] here",
    ),
    # function_choice
    (annotated("@nni.function_choice(f(x), g, name=f)", "f(x)"), "g, n", "g is not a call"),
    (annotated("@nni.function_choice(name=f)", "f(x)"), "nni.", "has no calls to choose from"),
    (annotated("@nni.function_choice(f(x), g(x))", "f(x)"), "nni.", "name= is missing"),
    (annotated("@nni.function_choice(f(x), f( x ), name=f)", "f(x)"), "f( x", "option f(x) occurs twice"),
    (
        annotated("@nni.function_choice(f(x), g(x), name=f)", "f(y)"),
        '"""@',
        "none of its calls is in the next statement",
    ),
    (
        annotated("@nni.function_choice(f(x), g(x), name=f)", "y = f'{f(x)}'"),
        "f(x)}",
        "is within an f-string",
    ),
    # reports
    (annotated("@nni.report_final_result()"), "nni.", "takes one expression, the metric"),
    (annotated("@nni.report_intermediate_result(a, b)"), "nni.", "takes one expression, the metric"),
    (annotated("@nni.get_next_parameter(1)"), "nni.", "takes no arguments"),
    # layers
    (annotated("@nni.mutable_layers()"), "nni.", "takes one dictionary for each layer"),
    (annotated("@nni.mutable_layers([])"), '[])"', "[] is no dictionary"),
    (annotated("@nni.mutable_layers({layer_choice: [f()]})"), "{lay", "layer_output is missing"),
    (annotated("@nni.mutable_layers({layer_output: y})"), "{lay", "layer_choice is missing"),
    (
        annotated("@nni.mutable_layers({layer_chioce: [f()], layer_output: y})"),
        "layer_c",
        "did you mean 'layer_choice'?",
    ),
    (
        annotated("@nni.mutable_layers({layer_choice: f(), layer_output: y})"),
        "f(),",
        "layer_choice is a list",
    ),
    (annotated("@nni.mutable_layers({layer_choice: [], layer_output: y})"), "[], ", "layer_choice is empty"),
    (
        annotated("@nni.mutable_layers({layer_choice: [f], layer_output: y})"),
        "f], ",
        "f is not a call: write f()",
    ),
    (
        annotated("@nni.mutable_layers({layer_choice: [f(1)], layer_output: y})"),
        "1)],",
        "and others by keyword",
    ),
    (
        annotated("@nni.mutable_layers({layer_choice: [f()], layer_output: 'y'})"),
        "'y'}",
        "layer_output is a string",
    ),
    (
        annotated("@nni.mutable_layers({layer_choice: [f()], optional_inputs: [x], layer_output: y})"),
        "{lay",
        "optional_inputs needs optional_input_size",
    ),
    (
        annotated("@nni.mutable_layers({layer_choice: [f()], optional_input_size: 1, layer_output: y})"),
        "1, l",
        "optional_input_size is of optional_inputs",
    ),
    (
        annotated(
            "@nni.mutable_layers({layer_choice: [f()], layer_output: y,\n"
            "  optional_inputs: [x], optional_input_size: 2, })"
        ),
        "2, }",
        "2 is no count, nor [least, most], from 0 to 1",
    ),
    # the file
    (
        'import os\nf"""@nni.variable(nni.choice(1, 2), name=x)"""\nx = 1\n',
        'f"""',
        "leave out the f before it",
    ),
    ('import os\n"\\x40nni.get_next_parameter()"\n# @nni.\n', '"\\x4', "write the @ as it is"),
    (
        'import nni\n"""@nni.variable(nni.choice(1, 2), name=x)"""\nx = 1\nnni.report_final_result(x)\n',
        "nni.r",
        "nni.report_final_result is called in a file",
    ),
    (
        'from tune import report_final_result as r\n"""@nni.variable(nni.choice(1, 2), name=x)"""\nx = 1\n',
        "repo",
        "use one or the other",
    ),
    (
        '"""@nni.variable(nni.choice(1, 2), name=x)"""\nx = 1\nif x\n    pass\n',
        (3, 5),
        "is no Python: expected ':'",
    ),
    (
        '"""@nni.variable(nni.choice(1, 2), name=x)"""\nx = 1\n  y = 2\n',
        " y =",
        "is no Python: unexpected indent",
    ),
    (
        "'@nni.get_next_parameter()'\nfrom __future__ import annotations\n",
        "'@nn",
        "stands before `from __future__`",
    ),
    (f"{VARIABLE}\nif x:\n    x", '"""@', "is not followed by an assignment"),
    ('import os\n"""@nni.report_final_result(\\x)"""\n', (2, 35), "is no Python: (unicode error)"),
    ("import os\n'@nni.report_final_result(' f'{x})'\n", "'@nni", "leave out the f before it"),
    ("import os\n''b'@nni.report_final_result(x)'\n", (2, 33), "is no Python: cannot mix bytes"),
]


@pytest.mark.parametrize(("code", "at", "words"), CORPUS, ids=[str(number) for number in range(len(CORPUS))])
def test_wrong_annotation_is_told_with_its_place(
    tmp_path: Path, code: str, at: str | tuple[int, int], words: str
) -> None:
    file = tmp_path / "code" / "train.py"
    (problem,) = problems(tmp_path / "code", code)
    assert words.format(file) in problem.message
    if isinstance(at, str):
        before, found, _ = code.rpartition(at)
        assert found
        at = before.count("\n") + 1, len(before.rpartition("\n")[2]) + 1
    assert problem.place is not None
    assert (problem.place.file, problem.place.line, problem.place.column) == (str(file), *at)


@settings(max_examples=300, deadline=None)
@given(
    code=st.sampled_from([code for code, _, _ in CORPUS]),
    start=st.floats(0, 1),
    removed=st.integers(0, 8),
    added=st.sampled_from(
        [
            "",
            "(",
            ")",
            '"""',
            "'",
            "@nni.",
            "\n",
            "\\",
            "\\x",
            "name=",
            "{",
            "[",
            "*",
            ":",
            "f",
            "b",
            "é",
            "\r\n",
            "\x0c",
        ]
    ),
)
def test_damaged_annotation_is_no_bug(code: str, start: float, removed: int, added: str) -> None:
    at = int(start * len(code))
    damaged = code[:at] + added + code[at + removed :]
    source = read_source(damaged.encode(), "train", "train.py")
    if not source.problems:
        expanded(source)
    assert all(problem.message and problem.place for problem in source.problems)


def test_everything_in_all_files_is_told_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "code"
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / "net.py").write_text(annotated("@nni.variable(nni.choise(1), nmae=x)"))
    (folder / "broken.py").write_text(f"{VARIABLE}\nx = = 1\n")
    found = problems(folder, annotated("@nni.variable(nni.uniform(a, b), name=y)"))
    places = [(Path(each.place.file).name, each.place.line) for each in found if each.place]
    assert places == [("broken.py", 2), ("net.py", 3), ("net.py", 3), ("net.py", 3), *[("train.py", 3)] * 2]


def test_nothing_annotated_is_an_error(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path / "code", "x = '@nni.variable()'  # @nni.\n")
    assert problem.message.startswith("nothing is annotated in the Python files here\n  write")
    assert str(problem.place) == str(tmp_path / "code")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (
            b"import os\n\\\nx = 1\n'@nni.get_next_parameter()'\n",
            "a line of it is a backslash and nothing else",
        ),
        (b"# coding: nonsense\n'@nni.get_next_parameter()'\n", "nonsense"),
        (b"'@nni.get_next_parameter() \xff'\n", "invalid or missing encoding"),
        (b"# coding: ascii\n\n\n'@nni.get_next_parameter() \xff'\n", "can't decode byte 0xff"),
        (b"'@nni.get_next_parameter()'\n\x00\n", "null bytes"),
        (b"'@nni.get_next_parameter()'\nx = " + b"(" * 5000 + b")" * 5000, "too many nested parentheses"),
        (b"'@nni.report_final_result(" + b"-" * 20000 + b"x)'\n", "is no Python expression"),
    ],
)
def test_file_that_cannot_be_read_is_told(tmp_path: Path, code: bytes, words: str) -> None:
    (problem,) = problems(tmp_path / "code", code)
    assert words in problem.message


def test_module_that_hides_the_sdk_is_told(tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "tune.py").write_text("")
    (problem,) = problems(tmp_path / "code", f"{VARIABLE}\nx = 1\n")
    assert "is imported in place of `tune`" in problem.message


def test_relative_paths_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (problem,) = problems(Path("code"), f"{VARIABLE}\ny = 1\n")
    assert str(problem) == (
        "code/train.py:1:1: annotation: name=x is not what line 2 assigns to\n  write name=y"
    )
