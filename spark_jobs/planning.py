"""What of Spark's planning a micro-batch can do without: its plan is made anew each time, and is always the same."""

import re

from pyspark.sql import SparkSession

#: Rules of the optimizer that change a plan of ours, which only reads, projects, shuffles and keeps state: without
#: them, columns that nobody asked for would be read and handed on.
_USEFUL = frozenset(
    f"org.apache.spark.sql.catalyst.optimizer.{name}"
    for name in (
        "CollapseProject",
        "ColumnPruning",
        "ConstantFolding",
        "RemoveNoopOperators",
        "RemoveRedundantAliases",
        "SimplifyCasts",
    )
)
_RULE = re.compile(r"(org\.apache\.spark\.sql\.(?:catalyst\.(?:analysis|optimizer)|execution)\.[\w.$]+?)\$?@[0-9a-f]+")


def leave_out_needless_rules(spark: SparkSession) -> None:
    """Makes queries that start from now on spare all other rules, as far as Spark lets users leave them out.

    They are 85, and visit each plan 160 times.
    """
    optimizer = spark._jsparkSession.sessionState().optimizer()
    every = set(_RULE.findall(optimizer.batches().toString()))
    needed = set(optimizer.nonExcludableRules().mkString(",").split(","))
    spark.conf.set("spark.sql.optimizer.excludedRules", ",".join(sorted(every - needed - _USEFUL)))
