"""The command genre2-mini: what it offers, and how it fails."""

import json
import subprocess
import sys
import warnings

import pytest
from typer.testing import CliRunner

from genre2_mini import __version__
from genre2_mini.cli import app, main
from genre2_mini.cli.model import FIT_EXAMPLE, PREDICT_EXAMPLE
from genre2_mini.experiments import rollout_benchmark
from genre2_mini.experiments.rollout_measurements import QUICK, Settings
from genre2_mini.methods import METHODS

BENCH = ["bench", "rollouts"]


def invoke(*arguments):
    # Wide, so that the help's boxes break no name in two.
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})


@pytest.fixture
def measured(monkeypatch):
    """The settings with which the benchmark was asked to run; nothing is measured."""
    asked = []
    monkeypatch.setattr(rollout_benchmark, "run", lambda s: asked.append(s) or {})
    monkeypatch.setattr(rollout_benchmark, "tables", lambda results: "tables")
    return asked


def fail_with(monkeypatch, error):
    def run(settings):
        raise error

    monkeypatch.setattr(rollout_benchmark, "run", run)


# What it offers


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["tasks", "fit", "predict", "bench", "reproduce"]),
        ([], ["--version", "--debug"]),
        (["tasks"], ["list", "describe", "rebuild"]),
        (["tasks", "list"], ["--json", "Example: genre2-mini tasks list"]),
        (["tasks", "describe"], ["name", "--json", "Example: genre2-mini tasks"]),
        (["tasks", "rebuild"], ["names", "--check", "Example: genre2-mini tasks"]),
        (["fit"], ["table", "--target", "--out", "--method", "--seed", "--ce-steps"]),
        (["fit"], ["--rl-steps", "--learning-rate", "--max-rows", "--test-fraction"]),
        (["fit"], ["--device", "--threads", "--overwrite", "--json", FIT_EXAMPLE]),
        (["fit"], list(METHODS)),
        (["predict"], ["model", "table", "--out", "--quantiles", "--interval"]),
        (["predict"], ["--threads", "--json", PREDICT_EXAMPLE]),
        (["reproduce"], ["Run a study and print its table."]),
        (["bench"], ["rollouts"]),
        (
            BENCH,
            ["--json", "--rounds", "--rows", "--samples", "--tokenizer", "--device"],
        ),
        (BENCH, ["--threads", "--quick", "1, 16, 128, 1024", "auto", "cpu", "cuda"]),
        (BENCH, ["normalised", "scientific", "ieee"]),
    ],
)
def test_help_names_every_command_and_option(arguments, words):
    shown = invoke(*arguments, "--help")
    assert shown.exit_code == 0
    for word in words:
        assert word in shown.stdout


def test_the_version_is_the_packages():
    shown = invoke("--version")
    assert shown.exit_code == 0
    assert shown.stdout == f"genre2-mini {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [BENCH, ["fit"], ["predict"], ["tasks", "list"], ["reproduce"]]
)
def test_the_module_is_the_command_and_its_help_does_not_wait_for_torch(arguments):
    script = (
        "import runpy, sys\n"
        f"sys.argv = ['genre2-mini', *{arguments}, '--help']\n"
        "try:\n"
        "    runpy.run_module('genre2_mini.cli', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0\n"
        "assert not {'torch', 'pandas', 'pyarrow'} & set(sys.modules)\n"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert " ".join(arguments) in ran.stdout


# What reaches the benchmark


def test_options_become_settings(measured):
    options = "--rounds 3 --rows 64 --samples 2 --samples 8 --device cpu --threads 1"
    tokenizers = "--tokenizer ieee --tokenizer normalised"
    assert invoke(*BENCH, *options.split(), *tokenizers.split()).exit_code == 0
    expected = {"rounds": 3, "rows": 64, "samples": (2, 8), "device": "cpu"}
    expected |= {"threads": 1, "tokenizers": ("ieee", "normalised")}
    assert measured == [Settings(**expected)]


def test_without_options_the_settings_are_the_documented_defaults(measured):
    invoke(*BENCH)
    assert measured == [Settings()]
    (settings,) = measured
    assert (settings.rounds, settings.rows) == (5, 1024)
    assert settings.samples == (1, 16, 128, 1024)
    assert settings.tokenizers == ("normalised", "scientific", "ieee")


def test_an_option_outranks_quick(measured):
    invoke(*BENCH, "--quick", "--rounds", "7")
    assert measured == [Settings(**(QUICK | {"rounds": 7}))]


def test_results_are_shown_and_written(measured, tmp_path):
    shown = invoke(*BENCH, "--json", str(tmp_path / "results.json"))
    assert shown.stdout == "tables\n"
    assert json.loads((tmp_path / "results.json").read_text()) == {}


# How it fails


def test_an_error_is_one_line_and_exit_code_1(monkeypatch, capsys):
    fail_with(monkeypatch, ValueError("two\nlines"))
    with pytest.raises(SystemExit) as end:
        main(BENCH)
    assert end.value.code == 1
    assert capsys.readouterr() == ("", "error: two lines\n")


def test_an_error_without_words_is_named(monkeypatch, capsys):
    fail_with(monkeypatch, ZeroDivisionError())
    with pytest.raises(SystemExit):
        main(BENCH)
    assert capsys.readouterr().err == "error: ZeroDivisionError\n"


def test_debug_shows_where_an_error_came_from(monkeypatch):
    fail_with(monkeypatch, ValueError("deep inside"))
    with pytest.raises(ValueError, match="deep inside"):
        main(["--debug", *BENCH])


def test_a_warning_is_one_line(monkeypatch, capsys):
    def run(settings):
        warnings.simplefilter("always")
        warnings.warn("3 targets\nare clipped", stacklevel=1)
        return {}

    monkeypatch.setattr(rollout_benchmark, "run", run)
    monkeypatch.setattr(rollout_benchmark, "tables", lambda results: "tables")
    with pytest.raises(SystemExit) as end:
        main(BENCH)
    assert end.value.code == 0
    assert capsys.readouterr() == ("tables\n", "warning: 3 targets are clipped\n")


def test_ctrl_c_is_one_line_exit_code_130_and_no_file(monkeypatch, capsys, tmp_path):
    fail_with(monkeypatch, KeyboardInterrupt())
    with pytest.raises(SystemExit) as end:
        main([*BENCH, "--json", str(tmp_path / "results.json")])
    assert end.value.code == 130
    assert capsys.readouterr() == ("", "interrupted\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], [*BENCH, "--rounds", "0"], [*BENCH, "--tokenizer", "roman"]],
)
def test_misuse_is_exit_code_2(arguments, measured):
    refused = invoke(*arguments)
    assert refused.exit_code == 2
    assert "Traceback" not in refused.output
    assert measured == []


def test_a_missing_folder_is_noticed_before_anything_is_measured(
    measured, capsys, tmp_path
):
    with pytest.raises(SystemExit):
        main([*BENCH, "--json", str(tmp_path / "missing" / "results.json")])
    assert capsys.readouterr().err == f"error: there is no folder {tmp_path}/missing\n"
    assert measured == []
