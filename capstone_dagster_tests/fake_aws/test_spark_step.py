import gzip
import io
import zipfile
from typing import Any

import pyarrow.parquet as pq
import pytest

from capstone_dagster_tests.fake_aws.emr_calls import Asked, command
from capstone_dagster_tests.servers.on_s3 import real_jars  # noqa: F401 -- pytest finds fixtures by their import
from capstone_dagster_tests.servers.s3_server import s3_client

MAIN = """
import sys
from brought_along import ANSWER
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
print(spark.conf.get("spark.master"), spark.conf.get("spark.app.name"), spark.conf.get("spark.of.cluster"))
spark.sql(f"SELECT {ANSWER} AS answer").write.parquet(sys.argv[1])
"""


def brought_along() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as code:
        code.writestr("brought_along.py", "ANSWER = 42\n")
    return buffer.getvalue()


@pytest.mark.usefixtures("real_jars")
def test_a_spark_step_finds_its_code_on_s3_and_writes_there(client: Any, s3_uri: str) -> None:
    s3, bucket = s3_client(), s3_uri.removeprefix("s3://")
    s3.put_object(Bucket=bucket, Key="main.py", Body=MAIN)
    s3.put_object(Bucket=bucket, Key="code.zip", Body=brought_along())
    of_cluster = {"spark.of.cluster": "yes", "spark.pyspark.python": "/opt/nowhere/bin/python"}
    cluster = Asked.for_cluster(
        client,
        command(
            "/usr/lib/spark/bin/spark-submit",
            *("--master", "yarn", "--deploy-mode", "client", "--conf", "spark.app.name=probe"),
            *("--py-files", f"{s3_uri}/code.zip", f"{s3_uri}/main.py", f"{s3_uri}/answer"),
        ),
        LogUri=f"{s3_uri}/logs",
        Configurations=[{"Classification": "spark-defaults", "Properties": of_cluster}],
    )
    (step_id,) = cluster.step_ids()
    state = cluster.step_reaches(step_id, "COMPLETED", "FAILED", seconds=180)["State"]

    def content(key: str) -> bytes:
        data: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        return data

    def log(name: str) -> str:
        return gzip.decompress(content(f"logs/{cluster.id}/steps/{step_id}/{name}.gz")).decode()

    assert state == "COMPLETED", log("stderr")
    assert log("stdout") == "local[2] probe yes\n"
    written = [each["Key"] for each in s3.list_objects_v2(Bucket=bucket, Prefix="answer/")["Contents"]]
    (file,) = [key for key in written if key.endswith(".parquet")]
    assert pq.read_table(io.BytesIO(content(file))).to_pylist() == [{"answer": 42}]
