"""What annotations mean: the space they make, and what the expanded and the generated code do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tune_annotation.finding import read_source
from tune_annotation.reader import AnnotatedCode
from tune_annotation.rewriting import expanded

from tune_core import ConfigError

SDK = Path(__file__).parents[3] / "sdk"


def write(folder: Path, code: str, name: str = "train.py") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(textwrap.dedent(code))
    return folder


def space(folder: Path) -> dict[str, Any]:
    return AnnotatedCode().search_space(folder)


def python(file: Path, parameters: dict[str, Any] | None = None, *options: str) -> list[str]:
    """What a script prints, line by line; with parameters as in a trial."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TUNE_")}
    environment = {**kept, "PYTHONPATH": str(SDK)}
    if parameters is not None:
        environment["TUNE_PARAMETERS"] = json.dumps(parameters)
    done = subprocess.run(
        [sys.executable, *options, file.name],
        cwd=file.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def run_expanded(folder: Path, parameters: dict[str, Any], tmp_path: Path) -> list[str]:
    target = tmp_path / "expanded"
    target.mkdir()
    AnnotatedCode().expand(folder, target)
    lines = [len((place / "train.py").read_bytes().splitlines()) for place in (folder, target)]
    assert lines[0] == lines[1]
    return python(target / "train.py", parameters)


def run_generated(folder: Path, parameters: dict[str, Any], tmp_path: Path) -> list[str]:
    target = tmp_path / "generated"
    target.mkdir()
    AnnotatedCode().generate(folder, parameters, target)
    assert "import tune" not in (target / "train.py").read_text()
    return python(target / "train.py", None, "-S")


@pytest.mark.parametrize("prefix", ["nni", "tune"])
@pytest.mark.parametrize(
    ("call", "spec"),
    [
        ("choice(50, 'a', -1.5, True, None)", ["choice", [50, "a", -1.5, True, None]]),
        ("choice([1, 2])", ["choice", [1, 2]]),
        ("choice((1, 2), len( 'ab' ))", ["choice", ["(1, 2)", "len('ab')"]]),
        ("randint(1, 10)", ["randint", [1, 10]]),
        ("randint(10)", ["randint", [10]]),  # NNI's form before 1.0
        ("uniform(-0.1, 5e-1)", ["uniform", [-0.1, 0.5]]),
        ("quniform(2, 10, 5)", ["quniform", [2, 10, 5]]),
        ("loguniform(1e-4, 1)", ["loguniform", [0.0001, 1]]),
        ("qloguniform(1, 100, 1)", ["qloguniform", [1, 100, 1]]),
        ("normal(0, 1)", ["normal", [0, 1]]),
        ("qnormal(0, 1, 0.5)", ["qnormal", [0, 1, 0.5]]),
        ("lognormal(0, 1)", ["lognormal", [0, 1]]),
        ("qlognormal(0, 1, 1)", ["qlognormal", [0, 1, 1]]),
    ],
)
def test_variable_makes_a_parameter_of_each_type(
    tmp_path: Path, prefix: str, call: str, spec: list[Any]
) -> None:
    folder = write(tmp_path / "code", f'"""@{prefix}.variable({prefix}.{call}, name=x)"""\nx = 1\n')
    kind, value = spec
    assert space(folder) == {f"train/x/{kind}": {"_type": kind, "_value": value}}


@pytest.mark.parametrize(
    "quotes", ['"""{}"""', "'''{}'''", '"{}"', "'{}'", 'r"{}"', '("{}")', '"""\n {}\n"""']
)
def test_annotation_may_have_any_quotes(tmp_path: Path, quotes: str) -> None:
    string = quotes.format("@nni.variable(nni.choice(3, 4), name=x)")
    folder = write(tmp_path / "code", f"{string}\nx = 1\nprint(x)\n")
    assert space(folder) == {"train/x/choice": {"_type": "choice", "_value": [3, 4]}}
    assert run_expanded(folder, {"train/x/choice": 4}, tmp_path) == ["4"]


SCRIPT = '''\
#!/usr/bin/env python3
"""A script."""
from __future__ import annotations

import math  # stays


class Model:
    base = 8

    """@nni.variable(nni.choice(base, base * 2, called("never"), 3), name=width)"""
    width = base  # the width

    def __init__(self):
        """@nni.variable(nni.uniform(0, 1),
            name=self.rate)"""
        self.rate: float = (
            0.5
        )
        options = {}
        "@tune.variable(tune.choice('adam', 'sgd'), name=options['name'])"; options["name"] = "none"
        self.options = options


def called(what):
    raise AssertionError(what)


model = Model()
for step in range(2):
    if step:
        """@nni.function_choice(math.sqrt(16), math.pow(2, 3), called("never"), name=math.sqrt)"""
        result = [math.sqrt( 16 ), 2 * math.sqrt(16)]
    else: "@nni.report_intermediate_result(step + 0.5)"
"""@nni.get_next_parameter()"""
print(model.width, model.rate, model.options, result)
"""@nni.report_final_result(
    model.width)"""
'''
CHOSEN = {
    "train/width/choice": "base * 2",
    "train/self.rate/uniform": 0.25,
    "train/options['name']/choice": "sgd",
    "train/math.sqrt/function_choice": "math.pow(2, 3)",
}


def test_script_runs_unchanged_without_tune(tmp_path: Path) -> None:
    folder = write(tmp_path / "code", SCRIPT)
    assert python(folder / "train.py", None, "-S") == ["8 0.5 {'name': 'none'} [4.0, 8.0]"]


def test_expanded_script_takes_what_was_chosen_and_evaluates_nothing_else(tmp_path: Path) -> None:
    folder = write(tmp_path / "code", SCRIPT)
    assert set(space(folder)) == set(CHOSEN)
    assert run_expanded(folder, CHOSEN, tmp_path) == [
        "tune: intermediate result 0: 0.5",
        "16 0.25 {'name': 'sgd'} [8.0, 16.0]",
        "tune: final result: 16",
    ]


def test_generated_script_has_the_values_in_place_and_needs_no_tune(tmp_path: Path) -> None:
    folder = write(tmp_path / "code", SCRIPT)
    assert run_generated(folder, CHOSEN, tmp_path) == [
        "intermediate result: 0.5",
        "16 0.25 {'name': 'sgd'} [8.0, 16.0]",
        "final result: 16",
    ]


def test_lines_that_are_not_annotated_stay_as_they_are(tmp_path: Path) -> None:
    folder = write(tmp_path / "code", SCRIPT)
    source = read_source((folder / "train.py").read_bytes(), "train", "train.py")
    old, new = SCRIPT.splitlines(), expanded(source).splitlines()
    pairs = enumerate(zip(old, new, strict=True), start=1)
    changed = {number for number, (before, after) in pairs if before != after}
    # The import beside `from __future__`, the strings, and what they are about.
    assert changed == {3, 11, 12, 15, 17, 18, 19, 21, 32, 33, 34, 35, 37, 38}
    assert new[3:10] == old[3:10]


def test_traceback_points_at_the_line_of_the_user(tmp_path: Path) -> None:
    code = '''
        """@nni.report_intermediate_result(
            1)"""
        """@nni.variable(nni.choice(1, 2), name=x)"""
        x = (1 +
             2)
        1 / 0
        '''
    folder = write(tmp_path / "code", code)
    target = tmp_path / "out"
    target.mkdir()
    AnnotatedCode().expand(folder, target)
    done = subprocess.run(
        [sys.executable, "train.py"],
        cwd=target,
        env={**os.environ, "PYTHONPATH": str(SDK), "TUNE_PARAMETERS": '{"train/x/choice": 2}'},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert 'train.py", line 7' in done.stderr


LAYERS = '''\
def conv(inputs, size=0):
    return f"conv{size}{inputs}"

def pool(inputs):
    return f"pool{inputs}"

a, b = "a", "b"
out = conv([[a], []], size=1)
"""@nni.mutable_layers({
    layer_choice: [conv(size=1), pool()],
    fixed_inputs: [a],
    optional_inputs: [b, unknown],
    optional_input_size: 1,
    layer_output: out
}, {layer_choice: [pool(), conv(size=2)], fixed_inputs: [out], layer_output: out})"""
print(out)
"""@nni.training_update(tf=tf, session=sess)"""
'''
ARCHITECTURE = {
    "train/out/layer_choice": {"_value": "conv(size=1)", "_idx": 0},
    "train/out/input_choice": {"_value": ["b"], "_idx": [0]},
    "train/out#2/layer_choice": {"_value": "pool()", "_idx": 0},
}


def test_layers_become_choices_that_tuners_take(tmp_path: Path) -> None:
    assert space(write(tmp_path / "code", LAYERS)) == {
        "train/out/layer_choice": {"_type": "layer_choice", "_value": ["conv(size=1)", "pool()"]},
        "train/out/input_choice": {
            "_type": "input_choice",
            "_value": {"candidates": ["b", "unknown"], "n_chosen": 1},
        },
        "train/out#2/layer_choice": {"_type": "layer_choice", "_value": ["pool()", "conv(size=2)"]},
    }


def test_layers_are_called_with_their_inputs(tmp_path: Path) -> None:
    folder = write(tmp_path / "code", LAYERS)
    alone = python(folder / "train.py", None, "-S")
    assert alone == ["conv1[['a'], []]"]
    expected = ["pool[[\"conv1[['a'], ['b']]\"], []]"]
    assert run_expanded(folder, ARCHITECTURE, tmp_path) == expected
    assert run_generated(folder, ARCHITECTURE, tmp_path) == expected


def test_size_of_optional_inputs_may_be_a_range(tmp_path: Path) -> None:
    folder = write(tmp_path / "code", LAYERS.replace("size: 1", "size: [0, 2]"))
    assert space(folder)["train/out/input_choice"]["_value"]["n_chosen"] == [0, 1, 2]


def test_layers_are_numbered_as_they_stand(tmp_path: Path) -> None:
    layers = "'@nni.mutable_layers({{layer_choice: [{}()], layer_output: y}})'\n"
    code = "def f():\n    " + layers.format("a") + layers.format("b")
    assert {key: spec["_value"] for key, spec in space(write(tmp_path / "code", code)).items()} == {
        "train/y/layer_choice": ["a()"],
        "train/y#2/layer_choice": ["b()"],
    }


def test_layer_may_have_an_empty_list_of_optional_inputs(tmp_path: Path) -> None:
    code = LAYERS.replace("fixed_inputs: [out]", "optional_inputs: [], optional_input_size: 1")
    folder = write(tmp_path / "code", code)
    assert set(space(folder)) == set(ARCHITECTURE)
    assert run_expanded(folder, ARCHITECTURE, tmp_path) == ["pool[[], []]"]


def test_functions_may_be_chosen_among_other_expressions(tmp_path: Path) -> None:
    code = """
        "@nni.function_choice(len('ab'), 2 * 3 + 4, lambda x: 1 + x, name=len)"
        y = [len('ab')]
        print(y[0](1) if callable(y[0]) else y[0])
        """
    folder = write(tmp_path / "code", code)
    options = ["len('ab')", "2 * 3 + 4", "lambda x: 1 + x"]
    assert space(folder)["train/len/function_choice"]["_value"] == options
    assert run_generated(folder, {"train/len/function_choice": options[1]}, tmp_path) == ["10"]
    assert run_expanded(folder, {"train/len/function_choice": options[2]}, tmp_path) == ["2"]


def test_keys_have_the_module_and_survive_edits(tmp_path: Path) -> None:
    code = '"""@nni.variable(nni.choice(1, 2), name=x)"""\nx = 1\n'
    folder = write(tmp_path / "code", code)
    (folder / "pkg" / "sub").mkdir(parents=True)
    write(folder / "pkg" / "sub", f"import os\n\n\ndef f():\n{textwrap.indent(code, '    ')}", "net.py")
    before = space(folder)
    assert list(before) == ["train/x/choice", "pkg.sub.net/x/choice"]
    write(folder, f"# more\nimport sys\n\n\n{code}\ny = 2\n")
    assert space(folder) == before


def test_annotations_that_say_the_same_share_a_parameter(tmp_path: Path) -> None:
    code = '"""@nni.variable(nni.choice(1, 2), name=x)"""\nx = 1\n'
    assert list(space(write(tmp_path / "code", code * 2))) == ["train/x/choice"]


def test_order_of_parameters_is_that_of_the_code(tmp_path: Path) -> None:
    code = """
        def f():
            '@nni.variable(nni.choice(1, 2), name=z)'
            z = 1
        '@nni.variable(nni.choice(1, 2), name=a)'
        a = 1
        """
    assert list(space(write(tmp_path / "code", code))) == ["train/z/choice", "train/a/choice"]


@pytest.mark.parametrize(
    "code",
    [
        # Nothing but compound statements: there is no line that the import could go to.
        "class A:\n    '@nni.variable(nni.choice(3, 4), name=x)'\n    x = 1\nprint(A.x)\n",
        # The annotation is what stands first.
        "'@nni.variable(nni.choice(3, 4), name=x)'\nx = 1\nprint(x)\n",
        "_tune_annotated = 1\n'@nni.variable(nni.choice(3, 4), name=x)'\nx = 1\nprint(x)\n",
        "class A:\n    __x = 7\n    '@nni.variable(nni.choice(__x, 4), name=x)'\n    x = 1\nprint(A.x)\n",
        "def f():\n  '@nni.variable(nni.choice((yield), 4), name=x)'\n  x = 1\n  print(x)\nlist(f())\n",
    ],
)
def test_expanded_code_runs_wherever_the_annotation_stands(tmp_path: Path, code: str) -> None:
    folder = write(tmp_path / "code", code)
    assert run_expanded(folder, {"train/x/choice": 4}, tmp_path) == ["4"]


def test_other_bytes_of_a_file_survive(tmp_path: Path) -> None:
    code = (
        b"\xef\xbb\xbf# \xc3\xa9\r\nimport os\r\n\r\n"
        b"'''@nni.variable(\r\n nni.choice('\xc3\xa9', 2), name=x)'''\r\nx = [1,\r\n 2]\r\n\x0c\r\nprint(x)  "
    )
    folder = write(tmp_path / "code", "")
    (folder / "train.py").write_bytes(code)
    target = tmp_path / "out"
    target.mkdir()
    AnnotatedCode().expand(folder, target)
    assert (target / "train.py").read_bytes() == (
        b"\xef\xbb\xbf# \xc3\xa9\r\nimport tune.annotated as _tune_annotated; import os\r\n\r\n"
        b"'''nni.variable(\r\n nni.choice('\xc3\xa9', 2), name=x)'''\r\n"
        b"x = _tune_annotated.value('train/x/choice'\r\n)\r\n\x0c\r\nprint(x)  "
    )
    assert space(folder)["train/x/choice"]["_value"] == ["é", 2]


def test_last_line_may_lack_its_end(tmp_path: Path) -> None:
    folder = write(tmp_path / "code", "print(1)\nif True:\n    '@nni.report_final_result(2)'")
    assert run_expanded(folder, {}, tmp_path) == ["1", "tune: final result: 2"]


def test_code_of_a_newer_python_is_read(tmp_path: Path) -> None:
    code = """
        def first[T](items: list[T]) -> T:
            "@nni.variable(nni.choice(1, 2), name=x)"
            x = 1
            return f"{items["a"]}"
        """
    assert list(space(write(tmp_path / "code", code))) == ["train/x/choice"]


def test_values_of_other_code_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "code", SCRIPT)
    wrong = {**CHOSEN, "train/width/choice": "gone"}
    del wrong["train/self.rate/uniform"]
    (tmp_path / "out").mkdir()
    with pytest.raises(ConfigError, match="no value that fits for train/width/choice, train/self"):
        AnnotatedCode().generate(folder, wrong, tmp_path / "out")


EXPRESSIONS = st.sampled_from(
    ["1", "'a'", "f(x)", "lambda a: a", "x if x else y", "(a := 3)", "[b for b in c]", "not x", "-x", "x, y"]
)


@settings(max_examples=60, deadline=None)
@given(
    options=st.lists(EXPRESSIONS, min_size=1, max_size=4, unique=True),
    before=st.sampled_from(
        ["", "'doc'\n", "import os\n", "if a:\n    pass\n", "'doc'; import os\n", "\n# é\n"]
    ),
    value=st.sampled_from(["1", "(\n 1\n)", "[1,\n2]", "1 + \\\n 2", "yield_", "'''a\nb'''"]),
    target=st.sampled_from(["x", "x.y", "x[0]", "x['a'].b"]),
    indent=st.sampled_from(["", "    "]),
)
def test_expanded_code_is_python_of_as_many_lines(
    options: list[str], before: str, value: str, target: str, indent: str
) -> None:
    written = ", ".join(f"({each})" for each in options)
    head = "while True:\n" if indent else ""
    annotation = f'r"""@nni.variable(nni.choice({written}), name={target})"""'
    code = f"{before}{head}{indent}{annotation}\n{indent}{target} = {value}\n"
    source = read_source(code.encode(), "m", "m.py")
    assert source.problems == []
    new = expanded(source)
    compile(new, "m.py", "exec")
    assert new.count("\n") == code.count("\n")


# The seeds' script, in which only the imports were left out.
SEED = '''
with tf.Session() as sess:
    sess.run(tf.global_variables_initializer())
    """@nni.variable(nni.choice(50, 250, 500), name=batch_size)"""
    batch_size = 128
    for i in range(10000):
        batch = mnist.train.next_batch(batch_size)
        """@nni.variable(nni.choice(0.1, 0.5), name=dropout_rate)"""
        dropout_rate = 0.5
        mnist_network.train_step.run(feed_dict={mnist_network.images: batch[0],
                                                mnist_network.labels: batch[1],
                                                mnist_network.keep_prob: dropout_rate})
        if i % 100 == 0:
            test_acc = mnist_network.accuracy.eval(
                feed_dict={mnist_network.images: mnist.test.images,
                            mnist_network.labels: mnist.test.labels,
                            mnist_network.keep_prob: 1.0})
            """@nni.report_intermediate_result(test_acc)"""

    test_acc = mnist_network.accuracy.eval(
        feed_dict={mnist_network.images: mnist.test.images,
                    mnist_network.labels: mnist.test.labels,
                    mnist_network.keep_prob: 1.0})
    """@nni.report_final_result(test_acc)"""
'''


def test_script_of_the_seeds_is_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "code", SEED, "mnist.py")
    assert space(folder) == {
        "mnist/batch_size/choice": {"_type": "choice", "_value": [50, 250, 500]},
        "mnist/dropout_rate/choice": {"_type": "choice", "_value": [0.1, 0.5]},
    }
    text = expanded(read_source(SEED.encode(), "mnist", "mnist.py"))
    compile(text, "mnist.py", "exec")
    assert text.count(".report_intermediate_result(test_acc)") == 1
    assert text.count(".report_final_result(test_acc)") == 1
    assert text.count("\n") == SEED.count("\n")
