"""A permanent cluster, for people who do not create one for every run."""

import boto3

from fake_aws.emr import FakeEmr
from fake_aws.emr_image import CREDENTIALS, REGION

_FLEETS = [
    {"InstanceFleetType": kind, "TargetOnDemandCapacity": 1, "InstanceTypeConfigs": [{"InstanceType": "m5.xlarge"}]}
    for kind in ("MASTER", "CORE")
]


def standing_cluster(emr: FakeEmr) -> str:
    """Create the cluster and return its id; it may still be starting."""
    session = boto3.Session(CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"], region_name=REGION)
    created: str = session.client("emr", endpoint_url=emr.endpoint).run_job_flow(
        Name="shared",
        ReleaseLabel="emr-spark-8.1.0",
        ServiceRole="EMR_DefaultRole",
        JobFlowRole="EMR_EC2_DefaultRole",
        Instances={"InstanceFleets": _FLEETS, "KeepJobFlowAliveWhenNoSteps": True},
    )["JobFlowId"]
    return created
