"""What a Spark cluster is told: the executors' size, code and environment, and the way to the driver."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fraudstream.errors import FraudstreamError, SettingsError
from fraudstream.settings import ClusterSettings, Settings, load_settings
from spark_jobs import cluster
from spark_jobs.checkpoint import location


def test_executors_import_our_code_from_the_archive_alone(tmp_path: Path) -> None:
    archive = cluster.zip_packages(tmp_path / cluster.ARCHIVE)
    look = "import model.features.observe, spark_jobs.bucket as b, fraudstream.messages.validation; print(b.__file__)"
    shown = subprocess.run(
        [sys.executable, "-P", "-c", look],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": archive.name},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip().endswith(f"{cluster.ARCHIVE}/spark_jobs/bucket.py")


def test_executors_are_as_many_and_as_large_as_the_settings_say() -> None:
    settings = ClusterSettings(executors=3, executor_cores=2, executor_memory_mb=2048, executor_overhead_mb=900)
    told = cluster.config(settings, "-Xss4m", {"OMP_NUM_THREADS": "1"})
    assert (told["spark.executor.instances"], told["spark.executor.cores"], told["spark.cores.max"]) == ("3", "2", "6")
    assert (told["spark.executor.memory"], told["spark.executor.memoryOverhead"]) == ("2048m", "900m")
    assert told["spark.executorEnv.OMP_NUM_THREADS"] == "1"
    assert told["spark.executor.extraJavaOptions"] == "-Xss4m"
    assert "spark.archives" not in told


def test_python_on_executors_is_a_path_or_a_packed_environment() -> None:
    assert cluster.environment(ClusterSettings(), {})["PYSPARK_PYTHON"] == sys.executable
    assert cluster.environment(ClusterSettings(python="/opt/python"), {})["PYSPARK_PYTHON"] == "/opt/python"
    packed = ClusterSettings(python_archive="hdfs:///fraud/environment.tar.gz")
    assert cluster.environment(packed, {})["PYSPARK_PYTHON"] == "./environment/bin/python"
    told = cluster.config(packed, "", {})
    assert told["spark.archives"] == "hdfs:///fraud/environment.tar.gz#environment"
    with pytest.raises(ValueError, match="not both"):
        ClusterSettings(python="/opt/python", python_archive="environment.tar.gz")


def test_properties_stay_in_their_file(tmp_path: Path) -> None:
    file = tmp_path / "with space.properties"
    settings = ClusterSettings(properties_file=file)
    with pytest.raises(FraudstreamError, match="FRAUDSTREAM_CLUSTER__PROPERTIES_FILE"):
        cluster.environment(settings, {})
    file.write_text("spark.authenticate.secret hunter2\n")
    told = cluster.environment(settings, {"PYSPARK_SUBMIT_ARGS": "--conf spark.yarn.queue=fraud pyspark-shell"})
    assert told["PYSPARK_SUBMIT_ARGS"] == (
        f"--properties-file '{file}' --load-spark-defaults --conf spark.yarn.queue=fraud pyspark-shell"
    )
    assert "hunter2" not in str(told) + str(cluster.config(settings, "", {}))


def test_a_driver_beside_the_cluster_says_where_it_is() -> None:
    with pytest.raises(FraudstreamError, match="FRAUDSTREAM_CLUSTER__DRIVER_HOST"):
        cluster.driver_config(ClusterSettings())
    told = cluster.driver_config(ClusterSettings(driver_host="airflow.internal", driver_bind_address="0.0.0.0"))  # noqa: S104
    assert told == {"spark.driver.host": "airflow.internal", "spark.driver.bindAddress": "0.0.0.0"}  # noqa: S104
    assert cluster.driver_config(ClusterSettings(driver_host="10.0.0.7"))["spark.driver.bindAddress"] == "10.0.0.7"


def test_the_checkpoint_is_a_folder_or_a_url(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FRAUDSTREAM_VAR_DIR", str(tmp_path))
    assert location(Settings().checkpoint, 0) == str(tmp_path / "stream" / "checkpoint")
    monkeypatch.setenv("FRAUDSTREAM_STREAM__CHECKPOINT", "hdfs://namenode/fraud/checkpoint/")
    assert location(load_settings().checkpoint, 17) == "hdfs://namenode/fraud/checkpoint-17"
    monkeypatch.setenv("FRAUDSTREAM_STREAM__CHECKPOINT", "checkpoint")
    with pytest.raises(SettingsError, match=r"FRAUDSTREAM_STREAM__CHECKPOINT=.checkpoint.: .*a whole path"):
        load_settings()


def test_a_link_named_as_the_archive_leads_to_the_drivers_own_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "environment").symlink_to("gone")
    for _ in range(2):  # what is there, an unpacked archive too, stays
        cluster.link_environment()
        assert Path("environment/bin/python").resolve() == Path(sys.prefix, "bin", "python").resolve()
