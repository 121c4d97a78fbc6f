"""Checks a rule's condition, and compiles it to the SQL that DuckDB runs.

A condition is one SQL expression over declared columns. Every node of its syntax tree must be one that is allowed here,
so that what sqlglot knows besides (subqueries, table functions, files, `pg_sleep`, parameters) is refused, and so is
what a later version may learn. What DuckDB runs is written anew from the tree, never the text that somebody typed.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import cast

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from fraudstream.policy.document import COLUMNS_OF_KIND, Kind
from fraudstream.policy.errors import ConditionError

MAX_LENGTH = 4_000
MAX_NODES = 500

#: Functions that a condition may call, by their class in sqlglot.
FUNCTIONS: dict[type[exp.Expression], str] = {
    exp.Abs: "abs",
    exp.Round: "round",
    exp.Floor: "floor",
    exp.Ceil: "ceil",
    exp.Sqrt: "sqrt",
    exp.Coalesce: "coalesce",
    exp.Nullif: "nullif",
    exp.Greatest: "greatest",
    exp.Least: "least",
    exp.Lower: "lower",
    exp.Upper: "upper",
    exp.Length: "length",
    exp.StartsWith: "starts_with",
    exp.EndsWith: "ends_with",
    exp.Contains: "contains",
    exp.RegexpLike: "regexp_matches",
    exp.Hour: "hour",
    exp.DayOfWeek: "dayofweek",
}
_SYNTAX: frozenset[type[exp.Expression]] = frozenset(
    {
        *(exp.Column, exp.Identifier, exp.Literal, exp.Boolean, exp.Null, exp.Paren),
        *(exp.And, exp.Or, exp.Not, exp.Is, exp.In, exp.Between, exp.Like, exp.ILike, exp.Case, exp.If),
        *(exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ),
        *(exp.Add, exp.Sub, exp.Mul, exp.Div, exp.IntDiv, exp.Mod, exp.Neg, exp.Cast, exp.TryCast, exp.DataType),
    }
)
_COMPARISONS = (
    *(exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.NullSafeEQ, exp.NullSafeNEQ, exp.In, exp.Between),
)
_DIVISIONS = (exp.Div, exp.IntDiv, exp.Mod)
_CAST_TO = ("DOUBLE", "BIGINT", "INT", "BOOLEAN", "VARCHAR", "TEXT")
#: What people call syntax that they may have meant.
_SAID = {
    exp.Subquery: "a subquery",
    exp.Select: "a subquery",
    exp.Exists: "a subquery",
    exp.Table: "a table",
    exp.Window: "a window function",
    exp.Star: "*",
    exp.Placeholder: "a parameter",
    exp.Escape: "ESCAPE",
    exp.Unnest: "unnest",
    exp.Interval: "an interval",
}
#: The name of `list('…')` in the tree, which differs between sqlglot's versions.
_LIST_CALLS = (exp.ArrayAgg, exp.List)


@dataclass(frozen=True)
class Membership:
    """`column IN list('name')`; `flag` is the boolean column that holds its answer when the condition is run."""

    column: str
    list_name: str

    @property
    def flag(self) -> str:
        """The column's name: no declared column has a colon."""
        return f"list:{self.column}:{self.list_name}"


@dataclass(frozen=True)
class Compiled:
    """A condition as DuckDB runs it, over `columns` and the flags of `memberships`."""

    sql: str
    columns: tuple[str, ...]
    memberships: tuple[Membership, ...]


def compile_condition(condition: str, columns: Mapping[str, str], lists: Mapping[str, Kind]) -> Compiled:
    """Checks and compiles a condition over `columns` (name → DuckDB's type) and `lists` (name → kind).

    Raises ConditionError.
    """
    tree = _parse(condition)
    memberships: list[Membership] = []
    try:
        tree = tree.transform(_replacing_lists(columns, lists, memberships))
        if sum(1 for _ in tree.walk()) > MAX_NODES:
            raise ConditionError(f"the condition is too long: it has more than {MAX_NODES} parts; write two rules")
        flags = {membership.flag for membership in memberships}
        _check(tree, columns, flags)
        used = {name for node in tree.find_all(exp.Column) if (name := node.name) not in flags}
        tree = tree.transform(_without_zero_divisors)
        sql = tree.sql(dialect="duckdb", comments=False, identify=True)
    except RecursionError:
        raise ConditionError("the condition is nested too deeply: write two rules") from None
    return Compiled(sql, tuple(sorted(used)), tuple(dict.fromkeys(memberships)))


def _parse(condition: str) -> exp.Expression:
    if not condition.strip():
        raise ConditionError("the condition is empty: write one, such as amount > 500 AND new_device = 1")
    if len(condition) > MAX_LENGTH or "\0" in condition:
        raise ConditionError(f"the condition has {len(condition)} characters: at most {MAX_LENGTH}, and none of them 0")
    try:
        trees = sqlglot.parse(condition, dialect="duckdb")
    except (SqlglotError, RecursionError, ValueError, TypeError, AttributeError, IndexError) as error:
        # Besides its own errors, sqlglot's parser meets some texts with one of Python's.
        line = (str(error).splitlines() or [""])[0].replace("\x1b[4m", "").replace("\x1b[0m", "").strip()
        raise ConditionError(f"the condition {_shown(condition)} is no SQL expression: {line}") from None
    if len(trees) != 1 or trees[0] is None:
        raise ConditionError(f"the condition {_shown(condition)} must be one expression: leave out the semicolon")
    return cast(exp.Expression, trees[0])


def _replacing_lists(
    columns: Mapping[str, str], lists: Mapping[str, Kind], found: list[Membership]
) -> Callable[[exp.Expression], exp.Expression]:
    def replace(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.In) and isinstance(node.args.get("field"), _LIST_CALLS):
            membership = _membership(node, columns, lists)
            found.append(membership)
            return exp.column(exp.to_identifier(membership.flag, quoted=True))
        return node

    return replace


def _membership(node: exp.In, columns: Mapping[str, str], lists: Mapping[str, Kind]) -> Membership:
    names = list(node.args["field"].iter_expressions())
    if len(names) != 1 or not names[0].is_string or not isinstance(node.this, exp.Column):
        raise ConditionError("a list is asked for a column: write it as device_id IN list('blocked_devices')")
    column, name = _column_name(node.this, columns), names[0].name
    if name not in lists:
        raise ConditionError(f"there is no list {name!r}{_near(name, lists)}; there are: {_listed(lists)}")
    fitting = COLUMNS_OF_KIND[lists[name]]
    if column not in fitting:
        told = f"it can be asked for {' or '.join(fitting)}" if fitting else "no column of a transaction holds these"
        raise ConditionError(f"the list {name!r} is of the kind {lists[name]}: {told}, not for {column}")
    return Membership(column, name)


def _check(tree: exp.Expression, columns: Mapping[str, str], flags: set[str]) -> None:
    for node in cast(Iterator[exp.Expression], tree.walk()):
        if isinstance(node, _LIST_CALLS):
            raise ConditionError("list(…) is used as device_id IN list('blocked_devices'), and no other way")
        if isinstance(node, exp.Column):
            if node.name not in flags:
                node.set("this", exp.to_identifier(_column_name(node, columns), quoted=True))
        elif type(node) not in _SYNTAX and type(node) not in FUNCTIONS:
            raise ConditionError(_refusal(node))
        for problem in (*_problems(node), *_of_wrong_type(node, columns)):
            raise ConditionError(problem)


def _of_wrong_type(node: exp.Expression, columns: Mapping[str, str]) -> Iterator[str]:
    """A text that is compared with a bare number: DuckDB would read each text as a number, and fail at the first."""
    if not isinstance(node, _COMPARISONS):
        return
    compared = list(cast(Iterator[exp.Expression], node.iter_expressions()))
    texts = [
        side.name for side in compared if isinstance(side, exp.Column) and columns.get(side.name.lower()) == "VARCHAR"
    ]
    numbers = [side.sql(dialect="duckdb") for side in compared if _is_number(side)]
    if texts and numbers:
        yield f"{texts[0].lower()} is a text: write '{numbers[0]}' in quotes"


def _is_number(node: exp.Expression) -> bool:
    while isinstance(node, exp.Paren | exp.Neg):
        node = node.this
    return isinstance(node, exp.Literal) and not node.is_string


def _problems(node: exp.Expression) -> Iterator[str]:
    if isinstance(node, exp.Cast) and node.to.this.value not in _CAST_TO:
        yield f"a value can't be cast to {node.to.sql()}; allowed are: {', '.join(_CAST_TO)}"
    if isinstance(node, exp.Cast) and node.args.get("format"):
        yield "a cast takes no format"
    if isinstance(node, exp.RegexpLike) and not (node.expression and node.expression.is_string):
        yield "the pattern of regexp_matches must be a text in quotes"
    if isinstance(node, _DIVISIONS) and _is_zero(node.expression):
        yield f"{node.sql(dialect='duckdb')} divides by zero"


def _is_zero(node: exp.Expression) -> bool:
    while isinstance(node, exp.Paren | exp.Neg):
        node = node.this
    try:
        return isinstance(node, exp.Literal) and not node.is_string and float(node.this) == 0
    except ValueError:
        return False


def _without_zero_divisors(node: exp.Expression) -> exp.Expression:
    """A division by zero is unknown, as a missing value is: it neither matches nor fails."""
    if isinstance(node, _DIVISIONS) and not isinstance(node.expression, exp.Literal | exp.Nullif):
        divisor = exp.Nullif(this=node.expression.copy(), expression=exp.Literal.number(0))
        node.set("expression", divisor)
    return node


def _column_name(node: exp.Column, columns: Mapping[str, str]) -> str:
    name = node.name.lower()
    if node.table or name not in columns:
        shown = node.sql(dialect="duckdb")
        raise ConditionError(
            f"there is no column {shown}{_near(name, columns)}; allowed are the transaction's fields, score and the "
            "features (docs/policy.md)"
        )
    return name


def _refusal(node: exp.Expression) -> str:
    if said := next((said for kind, said in _SAID.items() if isinstance(node, kind)), ""):
        return f"{said} isn't allowed in a condition: compare columns with values, lists or others"
    if isinstance(node, exp.Func):
        name = node.name if isinstance(node, exp.Anonymous) else node.sql_name().lower()
        return f"the function {name} isn't allowed; allowed are: {', '.join(sorted(FUNCTIONS.values()))}"
    return f"{type(node).__name__.upper()} isn't allowed in a condition: compare columns with values, lists or others"


def _near(name: str, known: Mapping[str, object]) -> str:
    near = get_close_matches(name, list(known), 1)
    return f" (do you mean {near[0]}?)" if near else ""


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(sorted(names)) or "none"


def _shown(condition: str) -> str:
    return repr(condition if len(condition) <= 80 else condition[:77] + "…")
