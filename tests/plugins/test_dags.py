"""Every Dag: it loads fast, explains itself, belongs to somebody, is retried, and takes only typed parameters."""

import unittest
from pathlib import Path

from airflow.dag_processing.dagbag import DagBag

from fraudstream.settings import PROJECT_DIR

DAGS = {path.stem for path in (PROJECT_DIR / "dags").glob("*.py")}


class DagsTest(unittest.TestCase):
    bag: DagBag

    @classmethod
    def setUpClass(cls) -> None:
        cls.bag = DagBag(PROJECT_DIR / "dags")

    def test_all_dags_load(self) -> None:
        self.assertEqual(self.bag.import_errors, {})
        self.assertEqual(set(self.bag.dags), DAGS)

    def test_each_has_a_file_of_its_name(self) -> None:
        for dag_id, dag in self.bag.dags.items():
            self.assertEqual(Path(dag.fileloc), PROJECT_DIR / "dags" / f"{dag_id}.py")

    def test_each_explains_itself(self) -> None:
        for dag_id, dag in self.bag.dags.items():
            with self.subTest(dag_id):
                self.assertIn("### Triage\n\nBy night: ", dag.doc_md or "")
                self.assertTrue(dag.description)
                self.assertIn("fraudstream", dag.tags)

    def test_each_task_has_an_owner_and_is_retried(self) -> None:
        for dag in self.bag.dags.values():
            for task in dag.tasks:
                with self.subTest(dag.dag_id, task=task.task_id):
                    self.assertEqual(task.owner, "fraud-platform")
                    self.assertGreaterEqual(task.retries, 1)

    def test_each_parameter_is_typed_and_described(self) -> None:
        for dag in self.bag.dags.values():
            for name in dag.params:
                with self.subTest(dag.dag_id, param=name):
                    schema = dag.params.get_param(name).schema
                    self.assertLessEqual({"type", "title"}, set(schema))
                    self.assertTrue(dag.params.get_param(name).description)

    def test_streams_run_once_at_a_time(self) -> None:
        for dag_id in ("event_producer", "fraud_scoring_stream"):
            self.assertEqual(self.bag.dags[dag_id].max_active_runs, 1)

    def test_a_batch_dag_has_a_deadline_that_names_it(self) -> None:
        """Those that begin and end by themselves, but for the two that watch, and what waits for a person."""
        batch = {"apply_retention", "reconcile_stream", "refresh_entity_risk", "refresh_static_data"}
        batch |= {"archive_transactions", "monitor_model", "publish_verdicts", "snapshot_profiles"}
        for dag_id in sorted(batch):
            with self.subTest(dag_id):
                (deadline,) = self.bag.dags[dag_id].deadline
                self.assertEqual(deadline.callback.path, "fraudstream_airflow.deadlines.open_incident")
                self.assertEqual(deadline.callback.kwargs["dag_id"], dag_id)

    def test_a_burst_of_alerts_starts_the_response_by_the_provider_s_trigger(self) -> None:
        (asset,) = self.bag.dags["fraud_alert_response"].timetable.asset_condition.objects
        (watcher,) = asset.watchers
        self.assertEqual(type(watcher.trigger).__name__, "KafkaSharedStreamTrigger")
        self.assertEqual(watcher.trigger.topics, ["fraud-alert-bell"])

    def test_a_challenger_is_promoted_only_after_a_person_approved(self) -> None:
        dag = self.bag.dags["train_fraud_model"]
        self.assertEqual(dag.get_task("promote").upstream_task_ids, {"approve"})
        approve = dag.get_task("approve")
        self.assertEqual((type(approve).__name__, approve.defaults), ("ApprovalOperator", ["Reject"]))
        self.assertEqual(approve.upstream_task_ids, {"train_challenger"})

    def test_a_customer_is_erased_only_after_a_person_approved(self) -> None:
        dag = self.bag.dags["erase_customer"]
        self.assertEqual(dag.get_task("erase").upstream_task_ids, {"approve"})
        approve = dag.get_task("approve")
        self.assertEqual((type(approve).__name__, approve.defaults), ("ApprovalOperator", ["Reject"]))

    def test_an_import_gets_the_options_of_its_form(self) -> None:
        dag = self.bag.dags["import_history"]
        task = dag.get_task("import")
        self.assertIsNone(dag.schedule)
        form = {name: dag.params.get_param(name).value for name in dag.params if name != "data"}

        def arguments(**given: str | bool) -> list[str]:
            rendered = task.render_template(task.arguments, {"params": form | given})
            return [each for each in rendered if each]

        self.assertEqual(arguments(data="past"), ["import", "--processes=1", "--", "past"])
        self.assertEqual(
            arguments(data="o.csv", mapping="o.toml", labels="l.csv", labels_mapping="l.toml", replace=True),
            [
                *("import", "--mapping=o.toml", "--labels=l.csv", "--labels-mapping=l.toml", "--processes=1"),
                *("--replace", "--", "o.csv"),
            ],
        )

    def test_parsing_is_quick(self) -> None:
        # Sorted by duration: the first file pays for the imports of all.
        for stat in self.bag.dagbag_stats[1:]:
            self.assertLess(stat.duration.total_seconds(), 1, stat.file)


if __name__ == "__main__":
    unittest.main()
