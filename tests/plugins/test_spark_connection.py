"""From a Spark connection to a driver's master: the provider's own rules, and clear words for what can't work."""

import json
import unittest
from typing import Any
from unittest.mock import patch

from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
from airflow.sdk import Connection
from fraudstream_airflow.spark_connection import SparkConnectionError, SparkTarget, spark_target


def target(host: str | None, port: int | None = None, conn_type: str = "spark", **extra: str) -> SparkTarget:
    return spark_target(
        "my_spark", conn_type, host, port, {name.replace("_", "-"): value for name, value in extra.items()}
    )


class SparkConnectionTest(unittest.TestCase):
    def test_the_master_is_the_one_that_the_provider_would_use(self) -> None:
        for conn_type, host, port in [
            ("spark", "local[2,4]", None),
            ("spark", "spark-master", 7077),
            ("spark", "spark://spark-master", 7077),
            ("spark", "yarn", None),
            ("spark", "k8s://https://10.0.0.1", 6443),
            ("k8s", "https://10.0.0.1", 6443),
        ]:
            with self.subTest(conn_type=conn_type, host=host, port=port):
                connection = Connection(conn_id="my_spark", conn_type=conn_type, host=host, port=port)
                with patch.object(SparkSubmitHook, "get_connection", return_value=connection):
                    hook = object.__new__(SparkSubmitHook)
                    hook.__dict__ |= {"_conn_id": "my_spark", "_conf": {}, "_principal": None, "_keytab": None}
                    hook.__dict__ |= {"spark_binary": None, "_yarn_queue": None, "_deploy_mode": None}
                    expected = hook._resolve_connection()["master"]
                self.assertEqual(target(host, port, conn_type).master, expected)

    def test_a_local_master_retries_its_tasks(self) -> None:
        for host, master in [("local", "local[1,4]"), ("local[2]", "local[2,4]"), ("local[*]", "local[*,4]")]:
            self.assertEqual(target(host).master, master)

    def test_queue_and_namespace_become_configuration(self) -> None:
        shown = target("yarn", queue="fraud team", namespace="shop").submit_arguments
        self.assertEqual(
            shown, "--conf spark.kubernetes.namespace=shop --conf 'spark.yarn.queue=fraud team' pyspark-shell"
        )

    def test_what_cannot_work_is_refused_by_name(self) -> None:
        refused: list[tuple[dict[str, Any], str]] = [
            (
                {"host": "yarn", "deploy_mode": "cluster"},
                "deploy-mode 'cluster', but FRAUDSTREAM_CLUSTER__DEPLOY_MODE is 'client'",
            ),
            ({"host": "yarn", "keytab": "c2VjcmV0"}, "'keytab'"),
            ({"host": None}, "'spark://'"),
            ({"host": "mesos://somewhere"}, "'mesos://somewhere'"),
        ]
        for fields, said in refused:
            with self.subTest(**fields), self.assertRaises(SparkConnectionError) as caught:
                target(**fields)
            self.assertIn("'my_spark'", str(caught.exception))
            self.assertIn(said, str(caught.exception))
            self.assertNotIn("c2VjcmV0", str(caught.exception))

    def test_an_empty_deploy_mode_is_client(self) -> None:
        self.assertEqual(json.loads('{"deploy-mode": ""}')["deploy-mode"], "")
        self.assertEqual(target("local[2,4]", deploy_mode="").master, "local[2,4]")


if __name__ == "__main__":
    unittest.main()
