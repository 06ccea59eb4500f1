"""What the checks of every chapter owe: right answers pass, others are told why."""

import pytest


def stub(*args):
    """Returns nothing, as most exercises do when the reader finds them."""


def judged(right, wrong):
    """The two tests of (check, answer) and of (check, answer, what it is told)."""

    @pytest.mark.parametrize(("check", "answer"), right, ids=name_of)
    def test_right(check, answer, capsys):
        assert check(answer)
        assert capsys.readouterr().out.endswith(": correct\n")

    @pytest.mark.parametrize(("check", "answer", "said"), wrong, ids=name_of)
    def test_wrong(check, answer, said, capsys):
        assert not check(answer)
        printed = capsys.readouterr().out
        assert printed.count("\n") == 1
        assert ": not yet. " in printed
        assert said in printed, printed

    return test_right, test_wrong


def name_of(part):
    return getattr(part, "__name__", "")
