"""The figures of the benchmark `peers`: paces, causes of differences, and lines of code."""

from collections import Counter

import pytest

from benchmarks.measuring.code_lines import code_lines_of
from benchmarks.measuring.marks import Mark, between, pace_of, together
from benchmarks.measuring.order import Browsing, Cause, Scored, Stands, causes


def bought(at_ms: int, customer: str = "c", batch_id: int = 1) -> Scored:
    return Scored(f"t-{customer}-{at_ms}", customer, 0, at_ms, batch_id, 0.5, False)


#: Of batch 1: it began at offset 100 of the browsing topic and ended at 200.
STANDS = {(1, 0): Stands(before=100, after=200)}


@pytest.mark.parametrize(
    ("event", "cause"),
    [
        (Browsing(at_ms=900, offset=200), Cause.MISSED),
        (Browsing(at_ms=1_100, offset=99), Cause.FORESAW),
        (Browsing(at_ms=1_000, offset=150), Cause.SAME_MILLISECOND),
        (Browsing(at_ms=900, offset=199), Cause.UNKNOWN),
        (Browsing(at_ms=1_100, offset=100), Cause.UNKNOWN),
    ],
)
def test_where_the_browsing_topic_stood_tells_why_a_score_differs(event: Browsing, cause: Cause) -> None:
    assert causes([bought(at_ms=1_000)], {"c": [event]}, STANDS) == Counter([cause])


def test_other_customers_browsing_is_no_cause() -> None:
    assert causes([bought(1_000)], {"other": [Browsing(900, 200)]}, STANDS) == Counter([Cause.UNKNOWN])


def test_a_customers_later_purchase_follows_from_one_before() -> None:
    rows = [bought(1_500), bought(1_000), bought(1_500, customer="other")]
    found = causes(rows, {"c": [Browsing(900, 200), Browsing(950, 300)]}, {(1, 0): Stands(0, 250)})
    assert found == Counter({Cause.MISSED: 2, Cause.UNKNOWN: 1})
    found = causes(rows, {"c": [Browsing(1_200, 0)]}, {(1, 0): Stands(1, 250)})
    assert found == Counter([Cause.FORESAW, Cause.FOLLOWS, Cause.UNKNOWN])


def test_a_pace_leaves_out_the_start_and_its_warm_part_the_warm_up() -> None:
    pace = pace_of([Mark(10, 0, 3), Mark(14, 100, 7), Mark(15, 200, 8), Mark(18, 500, 10)])
    assert (pace.rate, pace.per_cpu) == (500 / 8, 500 / 10)
    assert (pace.warm_rate, pace.warm_per_cpu) == (400 / 4, 400 / 3)


def test_a_pace_in_one_piece_is_all_warm() -> None:
    pace = pace_of([Mark(10, 0, 3), Mark(14, 100, 7)])
    assert (pace.warm_rate, pace.warm_per_cpu) == (25, 25)


def test_no_pace_is_told_of_one_mark() -> None:
    with pytest.raises(ValueError, match="1 marks"):
        pace_of([Mark(10, 0, 3)])


def test_processes_add_up() -> None:
    first, second = [Mark(1, 0, 2), Mark(4, 50, 5)], [Mark(2, 0, 2.5), Mark(3, 20, 3)]
    assert together([first, second]) == [Mark(1, 0, 2), Mark(2, 0, 4.5), Mark(3, 20, 5), Mark(4, 70, 8)]


@pytest.mark.parametrize(("at", "figure"), [(0.0, 2.0), (1.0, 2.0), (2.0, 3.0), (3.0, 4.0), (9.0, 4.0)])
def test_a_figure_between_two_samples(at: float, figure: float) -> None:
    assert between([(1.0, 2.0), (3.0, 4.0)], at) == figure


def test_a_line_of_code_is_neither_blank_nor_comment_nor_docstring() -> None:
    text = '''"""Of a module."""

# A comment.
NAME = """two
lines"""


def function():
    """Of a function,

    with two parts.
    """
    return NAME  # and why
'''
    assert code_lines_of(text) == 4
