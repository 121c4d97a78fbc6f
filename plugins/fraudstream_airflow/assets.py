"""Assets: what Dags leave for others, so that the graph in the UI tells who waits for whom."""

from typing import Any

from airflow.sdk import Asset, BaseOperator, Context
from airflow.sdk.exceptions import AirflowSkipException

#: The archive's tables; updated by each run of `archive_transactions`.
TRANSACTION_ARCHIVE = Asset(name="transaction_archive", uri="x-fraudstream://archive/transactions")
#: A figure of the served model that stays out of bounds; `train_fraud_model` runs when it is updated.
LASTING_BREACH = Asset(name="lasting_model_breach", uri="x-fraudstream://model/breach")


class TellBreachOperator(BaseOperator):
    """Updates LASTING_BREACH when the task `measured` found breaches that last, and says which; else it is skipped.

    :param measured: task whose XCom has them: `{"lasting": ["…"]}`
    """

    def __init__(self, *, measured: str, **kwargs: Any) -> None:
        super().__init__(outlets=[LASTING_BREACH], **kwargs)
        self.measured = measured

    def execute(self, context: Context) -> list[str]:
        """Tells; the event of the asset carries the sentences. Raises AirflowSkipException when there are none."""
        lasting: list[str] = context["ti"].xcom_pull(task_ids=self.measured)["lasting"]
        if not lasting:
            raise AirflowSkipException("no breach lasts that wasn't told before")
        for sentence in lasting:
            self.log.warning("%s", sentence)
        context["outlet_events"][LASTING_BREACH].extra = {"why": lasting}
        return lasting
