"""The stack of docker-compose.yaml as its users meet it: the native checks, and those of containers."""

import subprocess

import pytest

from fraudstream.containers.secrets import NAMES, variable
from fraudstream.local.parts.airflow_api import AirflowApi
from fraudstream.local.status import WORKING
from fraudstream.settings import PROJECT_DIR, Settings
from tests.compose.engine import PROJECT, Stack, name_of

# The same end-to-end checks; pytest finds them here, with this folder's `platform`.
from tests.e2e.test_platform import (  # noqa: F401
    ACCOUNTING,
    WAIT_SECONDS,
    query,
    scored,
    test_a_bad_message_is_refused_and_the_good_one_behind_it_scored,
    test_dags_load_and_the_two_long_ones_run,
    test_every_chart_answers,
    test_retention_is_applied_to_everything_that_runs,
    test_topics_carry_what_the_contract_says,
    test_transactions_keep_coming,
)
from tests.polling import poll

ONE_SHOTS = {"secrets-check", "init", "airflow-init", "start"}
#: Dags whose tasks end within seconds, besides retention's.
SHORT_DAGS = ("reconcile_stream", "refresh_entity_risk", "refresh_static_data")
IN_SCHEDULER = ("exec", "--no-TTY", "airflow-scheduler", "fraudctl")


def test_every_service_is_healthy_or_has_ended_well(stack: Stack) -> None:
    def not_well() -> list[str]:
        return [
            f"{name_of(container)}: {state['Status']} {state['ExitCode']} {state.get('Health', {}).get('Status')}"
            for container in stack.containers()
            for state in [container["State"]]
            if (
                (state["Status"], state["ExitCode"]) != ("exited", 0)
                if name_of(container) in ONE_SHOTS
                else state.get("Health", {}).get("Status") != "healthy"
            )
        ]

    poll(lambda: not not_well(), WAIT_SECONDS, "every service to be well")


def test_every_container_stays_within_its_memory(stack: Stack) -> None:
    for container in stack.containers():
        assert container["HostConfig"]["Memory"] > 0, name_of(container)
        assert not container["State"]["OOMKilled"], name_of(container)


def test_the_cluster_computes_when_it_is_asked_for(stack: Stack, request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("--cluster"):
        pytest.skip("without --cluster")
    for worker in ("spark-worker-1", "spark-worker-2"):
        assert "spark_jobs.daemon" in stack.compose("top", worker)


def test_the_scheduler_has_what_the_short_dags_need(platform: Settings) -> None:
    api = AirflowApi(platform)
    for dag in SHORT_DAGS:
        api.call("POST", f"/dags/{dag}/dagRuns", {"logical_date": None, "dag_run_id": "stack", "conf": {}})

    def states() -> set[str]:
        return {api.call("GET", f"/dags/{dag}/dagRuns/stack")["state"] for dag in SHORT_DAGS}

    poll(lambda: states() <= {"success", "failed"}, WAIT_SECONDS, "the end of the short Dags")
    assert states() == {"success"}


def test_the_page_stream_sees_job_and_ledger(platform: Settings) -> None:
    api = AirflowApi(platform)
    api.call("GET", "/dags/fraud_scoring_stream")  # signs in
    told = api._send("GET", "/fraudstream/health")
    assert told["jobs"]["stream"]["state"] in WORKING
    assert told["ledger"]["totals"]["scored"] > 0
    assert told["alarms"] == []


def test_retention_reaches_all_that_grows(stack: Stack) -> None:
    told = stack.compose(*IN_SCHEDULER, "retention", "--dry-run")
    assert "Superset's logs: " in told
    assert "no password" not in told


def test_the_commands_for_the_models_and_for_a_rebuild_work(stack: Stack) -> None:
    assert "champion" in stack.compose(*IN_SCHEDULER, "models", "list")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        stack.compose(*IN_SCHEDULER, "rebuild")
    assert "nothing is changed yet" in refused.value.stderr


def test_every_volume_is_one_that_down_removes(stack: Stack) -> None:
    """An image's own volume, without a name, would stay behind with each container that is made anew."""
    mounts = [(name_of(container), mount) for container in stack.containers() for mount in container["Mounts"]]
    names = {(name, mount["Name"]) for name, mount in mounts if mount["Type"] == "volume"}
    assert {(name, volume) for name, volume in names if not volume.startswith(PROJECT)} == set()


def test_only_loopback_reaches_it(stack: Stack) -> None:
    bindings = [
        (name_of(container), binding["HostIp"])
        for container in stack.containers()
        for published in container["HostConfig"]["PortBindings"].values()
        for binding in published
    ]
    assert {name for name, _ in bindings} == {"airflow-apiserver", "superset", "kafka", "postgres"}
    assert {address for _, address in bindings} == {"127.0.0.1"}


def test_no_secret_is_in_an_environment_a_command_an_image_or_a_log(stack: Stack) -> None:
    values = {variable(name): stack.variables[variable(name)] for name in NAMES}
    images = {container["Image"] for container in stack.containers()}
    shown = {
        "containers": str(stack.containers()),
        "images": subprocess.run(["docker", "inspect", *images], capture_output=True, text=True, check=True).stdout,
        "logs": stack.compose("logs", "--no-color"),
    }
    for image in images:
        command = ["docker", "history", "--no-trunc", image]
        shown[image] = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert [(name, where) for where, text in shown.items() for name, value in values.items() if value in text] == []


def test_example_passwords_are_refused_by_name_before_anything_starts(stack: Stack) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        stack.compose("run", "--rm", "--no-deps", "secrets-check", env_file=PROJECT_DIR / ".env.example")
    told = refused.value.stderr + refused.value.stdout
    assert "POSTGRES_ADMIN_PASSWORD is a default or an example" in told
    assert "deploy/generate-secrets .env" in told


def test_a_killed_scheduler_comes_back_and_with_it_the_stream(stack: Stack, platform: Settings) -> None:
    pid = stack.inspect("airflow-scheduler")["State"]["Pid"]
    stack.compose("kill", "--signal", "KILL", "airflow-scheduler")
    stack.compose("start", "airflow-scheduler")
    assert stack.inspect("airflow-scheduler")["State"]["Pid"] != pid
    before = scored(platform)
    poll(lambda: scored(platform) > before + 20, 2 * WAIT_SECONDS, "transactions that a new job scored")


def test_down_and_up_carry_on(stack: Stack, platform: Settings) -> None:
    before = scored(platform)
    stack.down()
    stack.up()
    poll(lambda: scored(platform) > before, WAIT_SECONDS, "transactions that were scored after the second start")
    assert query(platform, ACCOUNTING) == (0, 0, 0, 0)
