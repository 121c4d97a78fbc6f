"""Conditions: what a rule may say, what it is told otherwise, and that nothing else is ever run."""

import random
import string
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from fraudstream.policy.columns import columns_with
from fraudstream.policy.conditions import Compiled, compile_condition
from fraudstream.policy.document import Kind
from fraudstream.policy.engine import Engine
from fraudstream.policy.errors import ConditionError
from model.features.columns import FEATURE_NAMES

COLUMNS = columns_with(FEATURE_NAMES)
LISTS = {"blocked_devices": Kind.DEVICE, "risky_countries": Kind.IP_COUNTRY, "mails": Kind.EMAIL_HASH}
TABLE = pa.table(
    {
        "amount": pa.array([700.0, 10.0, None], pa.float32()),
        "amount_mean_30d": pa.array([100.0, 0.0, 5.0], pa.float32()),
        "device_id": ["d-1", "d-2", None],
        "event_time": pa.array([1_000, 2_000, 90_000_000], pa.timestamp("ms")),
        "list:device_id:blocked_devices": [True, False, None],
    }
)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


def compiled(condition: str) -> Compiled:
    return compile_condition(condition, COLUMNS, LISTS)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("amount > 500", [True, False, False]),
        ("NOT (amount > 500)", [False, True, False]),  # a missing value is unknown, and unknown never matches
        ("amount IS NULL", [False, False, True]),
        ("coalesce(amount, 0) < 20", [False, True, True]),
        ("amount / amount_mean_30d > 5", [True, False, False]),  # of nothing: unknown
        ("amount % (amount_mean_30d - 100) >= 0", [False, True, False]),
        ("device_id IN list('blocked_devices')", [True, False, False]),
        ("device_id NOT IN list('blocked_devices')", [False, True, False]),
        ("DEVICE_ID IN ('d-2', 'd-3') OR hour(event_time) = 1", [False, True, True]),
        ("device_id LIKE 'd-%' AND NOT device_id LIKE '%2'", [True, False, False]),
        ("regexp_matches(device_id, '^d.1$')", [True, False, False]),
        ("CASE WHEN amount > 500 THEN true ELSE false END", [True, False, False]),
        ("amount BETWEEN 5 AND 20 -- a note", [False, True, False]),
    ],
)
def test_what_a_condition_says(engine: Engine, condition: str, expected: list[bool]) -> None:
    matches, failures = engine.matches(TABLE, [compiled(condition).sql])
    assert (matches[:, 0].tolist(), failures) == (expected, {})


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("amunt > 500", "there is no column amunt (do you mean amount?)"),
        ("t.amount > 500", "there is no column t.amount"),
        ("pg_sleep(5) IS NULL", "the function pg_sleep isn't allowed; allowed are: abs, "),
        ("read_text('/etc/passwd') = 'x'", "the function read_text isn't allowed"),
        ("amount > (SELECT max(x) FROM read_csv('/etc/passwd'))", "a subquery isn't allowed"),
        ("EXISTS (FROM read_csv('/etc/passwd'))", "a subquery isn't allowed"),
        ("amount > 1; DROP TABLE batch", "leave out the semicolon"),
        ("device_id = 5", "device_id is a text: write '5' in quotes"),
        ("amount > 1 AND card_token NOT IN ('k', -4111)", "card_token is a text: write '-4111' in quotes"),
        ("amount / 0 > 1", "divides by zero"),
        ("amount % -(0.0) > 1", "divides by zero"),
        ("sum(amount) OVER () > 5", "isn't allowed"),
        ("COLUMNS(*) > 1", "isn't allowed"),
        ("amount > ?", "a parameter isn't allowed"),
        ("amount::blob IS NULL", "can't be cast to"),
        ("device_id IN list('blocked_device')", "no list 'blocked_device' (do you mean blocked_devices?)"),
        (
            "card_token IN list('blocked_devices')",
            "of the kind device: it can be asked for device_id, not for card_tok",
        ),
        ("customer_id IN list('mails')", "no column of a transaction holds these"),
        ("list('blocked_devices') IS NULL", "is used as device_id IN list('blocked_devices')"),
        ("device_id IN list('blocked_devices', 'mails')", "a list is asked for a column"),
        ("regexp_matches(device_id, card_token)", "must be a text in quotes"),
        ("", "the condition is empty"),
        ("amount >", "is no SQL expression"),
        ("(" * 3000 + "1" + ")" * 900, "no SQL expression"),
        (" AND ".join(["amount > 1"] * 200), "too long"),
    ],
)
def test_what_is_refused_is_named(condition: str, told: str) -> None:
    with pytest.raises(ConditionError) as raised:
        compiled(condition)
    assert told in str(raised.value)


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ("amount + 1", "must be true or false, and is FLOAT"),
        ("amount > 'much'", "Could not convert string 'much'"),
        ("starts_with(amount, 'x')", "No function matches"),
        ("regexp_matches(device_id, '(')", "missing )"),
    ],
)
def test_what_duckdb_refuses_is_told_when_it_is_written(engine: Engine, condition: str, told: str) -> None:
    with pytest.raises(ConditionError) as raised:
        engine.check(compiled(condition), COLUMNS)
    assert told in str(raised.value)


def test_a_condition_that_fails_is_told_and_the_others_go_on(engine: Engine) -> None:
    conditions = ["amount > 500", "CAST(device_id AS INT) = 1", "device_id IN list('blocked_devices')"]
    for condition in conditions:
        engine.check(compiled(condition), COLUMNS)
    matches, failures = engine.matches(TABLE, [compiled(condition).sql for condition in conditions])
    assert matches.tolist() == [[True, False, True], [False, False, False], [False, False, False]]
    assert list(failures) == [1]
    assert "Could not convert string 'd-1'" in failures[1]


def test_each_batch_is_answered_from_its_own_values_and_types(engine: Engine) -> None:
    conditions = ["amount > 10", "device = '7'"]
    dear = pa.table({"amount": [20.0, 5.0], "device": ["7", "8"]})
    cheap = pa.table({"amount": [5.0], "device": ["7"]})
    whole = pa.table({"amount": [11, 9], "device": [7, 7]})
    assert engine.matches(dear, conditions)[0].tolist() == [[True, True], [False, False]]
    assert engine.matches(cheap, conditions)[0].tolist() == [[False, True]]
    assert engine.matches(whole, conditions)[0].tolist() == [[True, True], [False, True]]
    assert engine.matches(cheap, conditions[1:])[0].tolist() == [[True]]
    engine.check(Compiled("amount > 1", ("amount",), ()), {"amount": "DOUBLE"})
    assert engine.matches(cheap, conditions[1:])[0].tolist() == [[True]]


def test_what_takes_too_long_is_interrupted() -> None:
    many = pa.table({"device_id": ["a" * 2_000] * 200_000})
    slow = " OR ".join(f"regexp_matches(\"device_id\", '(a|b|ab)*c{number}$')" for number in range(30))
    matches, failures = Engine(timeout=0.05).matches(many, [slow])
    assert "Interrupted" in failures[0]
    assert not matches.any()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('{path}')",
        "COPY (SELECT 1) TO '{path}'",
        "ATTACH '{path}'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SELECT * FROM read_csv('http://127.0.0.1:9/x')",
        "SET enable_external_access = true",
        "SELECT * FROM TABLE_OF_PYTHON",
    ],
)
def test_the_engine_reaches_nothing_even_if_it_were_asked(tmp_path: Path, statement: str) -> None:
    TABLE_OF_PYTHON = TABLE  # noqa: F841, N806 - what DuckDB would find by its name
    (tmp_path / "file").write_text("secret")
    duckdb_error = pytest.importorskip("duckdb").Error
    with pytest.raises(duckdb_error):
        Engine()._connection.execute(statement.format(path=tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "secret"


def generated(seed: int) -> Iterator[str]:
    """Conditions: sound ones, ones with something forbidden somewhere, and text that was damaged."""
    chance = random.Random(seed)
    columns = [*COLUMNS, "amunt", "batch", "rowid", "t.amount"]
    atoms = [
        *(
            "1",
            "0",
            "-1.5",
            "1e400",
            "'x'",
            "'%'",
            "NULL",
            "true",
            "DATE '2020-01-01'",
            "INTERVAL 1 DAY",
            "?",
            "$1",
            "*",
        ),
        *("(SELECT 1)", "(FROM read_csv('{path}'))", "[1, 2]", "{{'a': 1}}", "list('blocked_devices')", "x -> x"),
    ]
    functions = [
        *("abs", "round", "coalesce", "greatest", "lower", "length", "hour", "starts_with", "nullif", "sqrt"),
        *("pg_sleep", "read_text", "read_csv", "glob", "getenv", "current_setting", "nextval", "query", "query_table"),
        *("count", "sum", "random", "now", "version", "repeat", "range", "list", "duckdb_settings", "write_log"),
    ]
    operators = [
        *("+", "-", "*", "/", "//", "%", ">", "<=", "=", "<>", "AND", "OR", "LIKE", "ILIKE", "||", "IS", "IS NOT", "^"),
        *("IN", "~", "::", "COLLATE", "->>", "@>", "SIMILAR TO", "IS DISTINCT FROM", "UNION SELECT", ";"),
    ]

    def expression(depth: int) -> str:
        kind = chance.random()
        if depth == 0 or kind < 0.25:
            return chance.choice(columns if chance.random() < 0.7 else atoms)
        if kind < 0.65:
            return f"({expression(depth - 1)} {chance.choice(operators)} {expression(depth - 1)})"
        if kind < 0.85:
            arguments = ", ".join(expression(depth - 1) for _ in range(chance.randint(0, 3)))
            return f"{chance.choice(functions)}({arguments})"
        if kind < 0.92:
            return (
                f"{chance.choice(['device_id', 'ip_country', 'card_token'])} IN list('{chance.choice([*LISTS, 'x'])}')"
            )
        return f"CASE WHEN {expression(depth - 1)} THEN {expression(depth - 1)} END"

    def number(depth: int) -> str:
        if depth == 0 or chance.random() < 0.3:
            return chance.choice([*FEATURE_NAMES[:20], "score", "0", "7", "-1.5", "1e300", "CAST(device_id AS INT)"])
        if chance.random() < 0.3:
            return f"{chance.choice(['abs', 'coalesce', 'greatest', 'sqrt', 'floor'])}({number(depth - 1)})"
        return f"({number(depth - 1)} {chance.choice('+-*/%')} {number(depth - 1)})"

    while True:
        if chance.random() < 0.3:
            comparison = chance.choice([">", "<=", "=", "IS DISTINCT FROM"])
            yield f"{number(3)} {comparison} {number(2)} OR device_id LIKE '%1'"
            continue
        text = f"{expression(3)} {chance.choice(operators[6:12])} {expression(2)}"
        for _ in range(chance.choice([0, 0, 0, 1, 3])):  # damage
            place = chance.randrange(len(text))
            text = text[:place] + chance.choice(string.printable) + text[place + chance.randint(0, 2) :]
        yield text


def test_of_2000_conditions_each_is_refused_or_evaluated_and_none_reaches_out(tmp_path: Path, engine: Engine) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a,b\n1,2\n")
    table = _random_table(40)
    fates = {"refused": 0, "evaluated": 0, "failed": 0}
    for _, condition in zip(range(2_000), generated(1), strict=False):
        try:
            made = compiled(condition.replace("{path}", str(secret)))
            engine.check(made, COLUMNS)
        except ConditionError as error:
            assert "\n" not in str(error), condition
            fates["refused"] += 1
            continue
        assert str(secret) not in made.sql
        assert set(made.columns) <= set(COLUMNS)
        matches, failures = engine.matches(table, [made.sql])
        assert matches.shape == (40, 1), condition
        fates["failed" if failures else "evaluated"] += 1
    assert fates["refused"] > 500
    assert fates["evaluated"] > 100
    assert {entry.name for entry in tmp_path.iterdir()} == {"secret"}


def _random_table(rows: int) -> pa.Table:
    chance = np.random.default_rng(1)
    made = {}
    for name, kind in COLUMNS.items():
        numbers = chance.normal(0, 100, rows)
        numbers[::5] = np.nan
        if kind == "VARCHAR":
            made[name] = pa.array([f"v-{number % 7}" if number % 5 else None for number in range(rows)])
        elif kind == "TIMESTAMP":
            made[name] = pa.array([number * 10**9 for number in range(rows)], pa.timestamp("ms"))
        elif kind == "BOOLEAN":
            made[name] = pa.array(numbers > 0)
        else:
            made[name] = pa.array(numbers.astype("f4" if kind == "FLOAT" else "f8"), from_pandas=True)
    flags = [
        ("device_id", "blocked_devices"),
        ("ip_country", "risky_countries"),
        ("shipping_country", "risky_countries"),
    ]
    return pa.table(made | {f"list:{column}:{name}": pa.array(numbers > 0) for column, name in flags})
