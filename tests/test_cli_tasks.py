"""The commands genre2-mini tasks: list, describe, rebuild."""

import json

import pytest
from typer.testing import CliRunner

from genre2_mini.cli import app, main
from genre2_mini.tasks import describe_task, list_tasks, rebuild


def invoke(*arguments):
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})


def test_the_list_has_a_line_for_each_task():
    header, *lines = invoke("tasks", "list").stdout.splitlines()
    assert header.split()[:5] == ["name", "rows", "features", "target", "unit"]
    assert header.endswith("in the paper")
    assert [line.split()[0] for line in lines] == list_tasks()
    (co2,) = [line for line in lines if line.startswith("co2 ")]
    words = " ".join(co2.split())
    assert words == "co2 2225 3 co2 parts per million by volume yes"


def test_the_list_as_json_has_the_facts_of_the_cards():
    listed = json.loads(invoke("tasks", "list", "--json").stdout)
    assert [task["name"] for task in listed] == list_tasks()
    for task in listed:
        card = describe_task(task["name"])
        facts = ["name", "rows", "features", "target", "unit", "in_paper"]
        assert task == {fact: card[fact] for fact in facts}


def test_a_task_is_described_in_words_and_as_json():
    shown = invoke("tasks", "describe", "concrete")
    card = describe_task("concrete")
    for words in ("concrete", "1030", "8 (0 categorical)", card["licence"]):
        assert words in shown.stdout
    assert json.loads(invoke("tasks", "describe", "concrete", "--json").stdout) == card


def test_a_generated_task_is_described_too():
    assert "a generator of this package" in invoke("tasks", "describe", "mv").stdout


def test_an_unknown_task_is_an_error_with_the_closest_name(capsys):
    with pytest.raises(SystemExit) as end:
        main(["tasks", "describe", "conrete"])
    assert end.value.code == 1
    assert "Did you mean 'concrete'?" in capsys.readouterr().err


@pytest.mark.parametrize("code", [0, 1])
def test_rebuild_asks_for_the_tasks_named_and_ends_with_the_verdict(monkeypatch, code):
    asked = []
    monkeypatch.setattr(rebuild, "main", lambda given: asked.append(given) or code)
    ended = invoke("tasks", "rebuild", "abalone", "co2", "--check")
    assert ended.exit_code == code
    assert invoke("tasks", "rebuild").exit_code == code
    assert asked == [["abalone", "co2", "--check"], []]


def test_rebuild_refuses_a_task_without_a_file(monkeypatch):
    monkeypatch.setattr(rebuild, "main", lambda given: pytest.fail("was called"))
    refused = invoke("tasks", "rebuild", "fried")
    assert refused.exit_code == 2
    assert "no file to rebuild for fried" in refused.stderr


def test_a_failed_download_is_one_line(monkeypatch, capsys):
    def pip_fails(given):
        raise SystemExit("pip download failed:\nno network")

    monkeypatch.setattr(rebuild, "main", pip_fails)
    with pytest.raises(SystemExit) as end:
        main(["tasks", "rebuild", "abalone"])
    assert end.value.code == 1
    assert capsys.readouterr().err == "error: pip download failed: no network\n"
