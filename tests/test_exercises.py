"""The machinery of the book's checks: they say what is wrong and never raise."""

import pytest
import torch

from genre2_mini.exercises import exercise, require, require_close


@exercise
def check_double(answer):
    """A check as a chapter would write it."""
    require_close(answer(2.0), 4.0, "double(2)")
    require(answer(-1.0) < 0, "a negative number must stay negative")


def test_a_right_answer_is_correct(capsys):
    assert check_double(lambda x: 2 * x)
    assert capsys.readouterr().out == "double: correct\n"


@pytest.mark.parametrize(
    "answer, said",
    [
        (lambda x: None, "double(2) is None: return a value"),
        (lambda x: 3 * x, "double(2) is 6.0, wanted 4.0"),
        (lambda x: [2 * x], "double(2) has shape (1,), wanted ()"),
        (lambda x: abs(2 * x), "a negative number must stay negative"),
        (lambda x: x / 0, "It raised ZeroDivisionError: float division by zero"),
    ],
)
def test_a_wrong_answer_is_told_why(answer, said, capsys):
    assert not check_double(answer)
    assert capsys.readouterr().out == f"double: not yet. {said}\n"


def test_tensors_are_compared_by_shape_and_value():
    @exercise
    def check_ones(answer):
        require_close(answer, torch.ones(3, 4), "ones")

    assert check_ones(torch.ones(3, 4))
    assert not check_ones(torch.ones(3, 4) + 1e-3)
    assert not check_ones(torch.ones(1))  # would broadcast
    assert not check_ones(torch.full((3, 4), float("nan")))


def test_a_check_keeps_its_name_and_docstring():
    assert check_double.__name__ == "check_double"
    assert check_double.__doc__ == "A check as a chapter would write it."
