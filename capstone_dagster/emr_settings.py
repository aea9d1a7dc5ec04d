"""The CAPSTONE_EMR_* variables, and what they mean together; ``settings`` reads them with all others."""

from typing import Self

from pydantic import Field, model_validator

from capstone_dagster import setting_values as values
from capstone_dagster.setting_values import Fleet, as_text


class EmrSettings(
    values.Variables,
    frozen=True,
    alias_generator=lambda name: f"CAPSTONE_EMR_{name.upper()}",
):
    """Where and how the Spark steps run on EMR. Each field is the variable CAPSTONE_EMR_<FIELD NAME>."""

    cluster_id: values.ClusterId | None = None
    create_cluster: values.YesOrNo = Field(default_factory=lambda given: given["cluster_id"] is None)
    terminate_cluster: values.YesOrNo = Field(default_factory=lambda given: given["create_cluster"])
    protect: values.YesOrNo = True
    release: values.Word = "emr-spark-8.1.0"
    master_fleet: values.SingleFleet = Fleet(1, ("m6i.xlarge", "m5.xlarge"))
    core_fleet: values.NeededFleet = Fleet(2, ("m6i.xlarge", "m5.xlarge"))
    task_fleet: values.AnyFleet = Fleet(0, ("m6i.xlarge", "m5.xlarge", "m5a.xlarge"))
    max_machines: values.Machines | None = None
    """How many of CORE and TASK a cluster may grow to; None: it keeps those that it began with."""
    disk_gib: values.DiskGib | None = None
    subnets: values.Words = ()
    service_role: values.Word = "EMR_DefaultRole"
    instance_profile: values.Word = "EMR_EC2_DefaultRole"
    security_configuration: values.Word | None = None
    bootstrap_uri: values.S3Place | None = None
    staging_uri: values.S3Place = Field(
        description="where this host and the cluster exchange files, like s3://bucket/staging"
    )
    log_uri: values.S3Place = Field(default_factory=lambda given: f"{given['staging_uri']}/logs")
    idle_minutes: values.IdleMinutes = 30.0
    poll_seconds: values.Positive = 10.0
    start_minutes: values.Positive = 30.0
    step_minutes: values.Positive = 240.0
    patience_minutes: values.Positive = 10.0
    log_seconds: values.Positive = 120.0
    # It has no repr, as people may put a secret where none belongs.
    spark_conf: values.SparkConf = Field({}, repr=False)

    @model_validator(mode="after")
    def _creates_or_takes_a_cluster(self) -> Self:
        if self.create_cluster == (self.cluster_id is not None):
            wrong = "set one of them, not both" if self.create_cluster else "name in it the cluster to take"
            create = as_text(self.create_cluster)
            raise ValueError(f"CAPSTONE_EMR_CLUSTER_ID and CAPSTONE_EMR_CREATE_CLUSTER={create}: {wrong}")
        return self

    @model_validator(mode="after")
    def _has_a_fleet_that_grows(self) -> Self:
        begins_with = self.core_fleet.units + self.task_fleet.units
        if self.max_machines is not None and not (self.task_fleet.units and self.max_machines > begins_with):
            raise ValueError(
                f"CAPSTONE_EMR_MAX_MACHINES: {self.max_machines} cannot be used: EMR adds machines to TASK, so set "
                f"CAPSTONE_EMR_TASK_FLEET to at least one, and this to more than the {begins_with} with which CORE and "
                "TASK begin"
            )
        return self
