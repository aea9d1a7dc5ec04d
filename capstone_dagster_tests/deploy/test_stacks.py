"""The stacks in moto's server, read back with boto3: what follows from all templates together."""

import ast
import base64
import json
import subprocess

import pytest

from capstone_dagster_tests.deploy.stacks import ACCOUNT, NAMES, PLATFORM, REGION, Stacks

RAW, LAKE, WORK = (f"arn:aws:s3:::{PLATFORM}-{kind}-{ACCOUNT}-{REGION}" for kind in ("raw", "lake", "work"))
CLUSTERS = f"arn:aws:elasticmapreduce:{REGION}:{ACCOUNT}:cluster"
# The roles of the platform, each in its stack.
ROLES = [("host", "Role"), ("emr", "ServiceRole"), ("emr", "InstanceRole")]


def _allowed(stacks: Stacks, stack: str, role: str, action: str) -> set[str]:
    """Everything on which the role may do it."""
    found: set[str] = set()
    for statement in stacks.statements(stack, role).values():
        actions, on = statement["Action"], statement["Resource"]
        if action in ([actions] if isinstance(actions, str) else actions):
            found |= {on} if isinstance(on, str) else set(on)
    return found


def test_all_stacks_are_made(stacks: Stacks) -> None:
    found = stacks.client("cloudformation").describe_stacks()["Stacks"]
    ours = {stack["StackName"]: stack["StackStatus"] for stack in found if stack["StackName"].startswith(PLATFORM)}

    assert ours == {f"{PLATFORM}-{name}": "CREATE_COMPLETE" for name in NAMES}


@pytest.mark.parametrize("kind", ["raw", "lake", "work"])
def test_a_bucket_encrypts_with_the_platforms_key(stacks: Stacks, kind: str) -> None:
    found = stacks.client("s3").get_bucket_encryption(Bucket=f"{PLATFORM}-{kind}-{ACCOUNT}-{REGION}")

    [rule] = found["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": stacks.outputs("storage")["KeyArn"],
    }


def test_the_host_passes_the_two_roles_of_emr_and_no_other(stacks: Stacks) -> None:
    passing = {
        statement["Resource"]: statement["Condition"]
        for statement in stacks.statements("host", "Role").values()
        if statement["Action"] == "iam:PassRole"
    }

    assert passing == {
        stacks.outputs("emr")["CapstoneEmrServiceRole"]: {
            "StringEquals": {"iam:PassedToService": "elasticmapreduce.amazonaws.com"}
        },
        stacks.outputs("emr")["InstanceRoleArn"]: {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
    }


@pytest.mark.parametrize(("stack", "role"), ROLES)
def test_a_role_does_nothing_to_everything(stacks: Stacks, stack: str, role: str) -> None:
    on_everything = {
        name for name, statement in stacks.statements(stack, role).items() if "*" in (statement["Resource"],)
    }

    expected = {"MakeClustersOfRuns", "FindClusters", "ReportHealth", "SeeUnhealthyMachines", "TakePartInSessions"}
    assert on_everything == (expected if role == "Role" else set())


def test_who_writes_where(stacks: Stacks) -> None:
    host, cluster = ("host", "Role"), ("emr", "InstanceRole")

    assert _allowed(stacks, *host, "s3:PutObject") == {f"{LAKE}/*", f"{WORK}/staging/*"}
    # Never code, releases or raw files: what a step leaves must not run in the next one.
    assert _allowed(stacks, *cluster, "s3:PutObject") == {f"{LAKE}/*", f"{WORK}/staging/runs/*", f"{WORK}/logs/*"}
    assert _allowed(stacks, *cluster, "s3:DeleteObject") == {f"{LAKE}/*", f"{WORK}/staging/runs/*"}
    assert _allowed(stacks, "emr", "ServiceRole", "s3:PutObject") == set()


def test_who_reads_what(stacks: Stacks) -> None:
    host, cluster = ("host", "Role"), ("emr", "InstanceRole")
    own = {f"{RAW}/*", f"{LAKE}/*"}

    assert _allowed(stacks, *host, "s3:GetObject") == own | {
        f"{WORK}/{place}/*" for place in ("staging", "install", "logs")
    }
    assert _allowed(stacks, *cluster, "s3:GetObject") == own | {
        f"{WORK}/staging/code/*",
        f"{WORK}/staging/runs/*",
        f"{WORK}/install/*",
        "arn:aws:s3:::elasticmapreduce/*",
        "arn:aws:s3:::*.elasticmapreduce/*",
    }
    for role in (host, cluster):
        assert _allowed(stacks, *role, "s3:ListBucket") == {RAW, LAKE, WORK}
        assert stacks.statements(*role)["UseTheKey"]["Resource"] == stacks.outputs("storage")["KeyArn"]


def test_a_cluster_sees_the_uploads_that_it_has_not_finished(stacks: Stacks) -> None:
    assert _allowed(stacks, "emr", "InstanceRole", "s3:ListBucketMultipartUploads") == {RAW, LAKE, WORK}


def test_analysts_read_tables_and_write_nothing_but_answers(stacks: Stacks) -> None:
    arn = stacks.outputs("analysts")["PolicyArn"]
    document = stacks.client("iam").get_policy_version(PolicyArn=arn, VersionId="v1")["PolicyVersion"]["Document"]
    by_name = {statement["Sid"]: statement for statement in document["Statement"]}

    written = {sid: each["Resource"] for sid, each in by_name.items() if "s3:PutObject" in each["Action"]}
    assert written == {"KeepAnswers": f"{WORK}/athena/*"}
    assert (by_name["ReadTables"]["Action"], by_name["ReadTables"]["Resource"]) == ("s3:GetObject", f"{LAKE}/*")
    assert by_name["UseTheKey"]["Resource"] == stacks.outputs("storage")["KeyArn"]
    assert by_name["Ask"]["Resource"] == f"arn:aws:athena:{REGION}:{ACCOUNT}:workgroup/{PLATFORM}"
    changing = ("Put", "Delete", "Create", "Update", "Batch")
    actions = {action.partition(":")[2] for each in by_name.values() for action in _as_list(each["Action"])}
    assert {action for action in actions if action.startswith(changing)} == {"PutObject"}


def _as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_the_policy_for_the_passwords_is_of_these_secrets_and_exported_for_the_host(stacks: Stacks) -> None:
    policy = stacks.outputs("database")["ReadPasswordArn"]
    exports = stacks.client("cloudformation").list_exports()["Exports"]
    document = stacks.client("iam").get_policy_version(PolicyArn=policy, VersionId="v1")["PolicyVersion"]["Document"]

    assert {export["Name"]: export["Value"] for export in exports}[f"{PLATFORM}-read-password"] == policy
    [statement] = document["Statement"]
    assert (statement["Action"], statement["Resource"]) == (
        "secretsmanager:GetSecretValue",
        [stacks.outputs("database")["DatabaseSecretArn"], stacks.outputs("database")["WarehouseSecretArn"]],
    )
    for stack, role in ROLES:
        assert _allowed(stacks, stack, role, "secretsmanager:GetSecretValue") == set()


@pytest.mark.parametrize(("stack", "role"), [("host", "Role"), ("emr", "InstanceRole")])
def test_host_and_cluster_register_partitions_in_the_platforms_catalog_only(
    stacks: Stacks, stack: str, role: str
) -> None:
    glue = f"arn:aws:glue:{REGION}:{ACCOUNT}"

    for action in ("glue:CreateTable", "glue:GetPartitions", "glue:BatchUpdatePartition"):
        assert _allowed(stacks, stack, role, action) == {
            f"{glue}:catalog",
            f"{glue}:database/market_data",
            f"{glue}:table/market_data/*",
        }


def test_the_host_sends_alerts_to_the_topic_with_its_role(stacks: Stacks) -> None:
    outputs = stacks.outputs("alarms")

    assert _allowed(stacks, "host", "Role", "sns:Publish") == {outputs["CapstoneAlertTopic"]}
    assert stacks.statements("host", "Role")["EncryptAlerts"]["Resource"] == outputs["KeyArn"]


def test_the_host_works_with_clusters_of_runs_only(stacks: Stacks) -> None:
    statements = stacks.statements("host", "Role")

    assert statements["MakeClustersOfRuns"]["Condition"] == {
        "StringEquals": {"aws:RequestTag/for-use-with-amazon-emr-managed-policies": "true"},
        "Null": {"aws:RequestTag/capstone:run_id": "false"},
    }
    assert statements["UseClustersOfRuns"]["Resource"] == f"{CLUSTERS}/*"
    assert statements["UseClustersOfRuns"]["Condition"] == {"Null": {"aws:ResourceTag/capstone:run_id": "false"}}
    assert "UseTheNamedCluster" not in statements


def test_emr_takes_its_role_for_this_account_only(stacks: Stacks) -> None:
    role = stacks.client("iam").get_role(RoleName=stacks.made("emr", "ServiceRole"))["Role"]

    [statement] = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "elasticmapreduce.amazonaws.com"}
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnLike": {"aws:SourceArn": f"arn:aws:elasticmapreduce:{REGION}:{ACCOUNT}:*"},
    }


def test_what_the_managed_policy_asks_for_is_tagged(stacks: Stacks) -> None:
    ec2 = stacks.client("ec2")
    [vpc] = ec2.describe_vpcs(VpcIds=[stacks.outputs("network")["VpcId"]])["Vpcs"]
    subnets = ec2.describe_subnets(SubnetIds=stacks.outputs("network")["CapstoneEmrSubnets"].split(","))["Subnets"]

    assert len(subnets) == len({subnet["AvailabilityZone"] for subnet in subnets}) == 2
    for tagged in (vpc, *subnets):
        assert {"Key": "for-use-with-amazon-emr-managed-policies", "Value": "true"} in tagged["Tags"]


def test_s3_is_reached_without_the_gateway_that_costs(stacks: Stacks) -> None:
    found = stacks.client("ec2").describe_vpc_endpoints(
        Filters=[{"Name": "vpc-id", "Values": [stacks.outputs("network")["VpcId"]]}]
    )["VpcEndpoints"]

    assert [(endpoint["VpcEndpointType"], endpoint["ServiceName"]) for endpoint in found] == [
        ("Gateway", f"com.amazonaws.{REGION}.s3")
    ]
    assert found[0]["RouteTableIds"] == [stacks.made("network", "PrivateRoutes")]


def test_clusters_encrypt_at_rest_and_in_transit(stacks: Stacks) -> None:
    found = stacks.client("emr").describe_security_configuration(
        Name=stacks.outputs("emr")["CapstoneEmrSecurityConfiguration"]
    )
    key = stacks.outputs("storage")["KeyArn"]

    # As Python prints it: EMR gives JSON.
    configuration = ast.literal_eval(found["SecurityConfiguration"])
    encryption = configuration["EncryptionConfiguration"]
    assert (encryption["EnableAtRestEncryption"], encryption["EnableInTransitEncryption"]) == (True, True)
    assert encryption["AtRestEncryptionConfiguration"] == {
        "S3EncryptionConfiguration": {"EncryptionMode": "SSE-KMS", "AwsKmsKey": key},
        "LocalDiskEncryptionConfiguration": {
            "EncryptionKeyProviderType": "AwsKms",
            "EnableEbsEncryption": True,
            "AwsKmsKey": key,
        },
    }
    assert encryption["InTransitEncryptionConfiguration"]["TLSCertificateConfiguration"] == {
        "CertificateProviderType": "PEM",
        "S3Object": f"{stacks.outputs('storage')['InstallUri']}/certificates.zip",
    }
    assert configuration["InstanceMetadataServiceConfiguration"]["MinimumInstanceMetadataServiceVersion"] == 2


def test_the_database_is_encrypted_and_backed_up(stacks: Stacks) -> None:
    [database] = stacks.client("rds").describe_db_instances(DBInstanceIdentifier=PLATFORM)["DBInstances"]

    assert (database["StorageEncrypted"], database["PubliclyAccessible"], database["BackupRetentionPeriod"]) == (
        True,
        False,
        14,
    )
    assert (database["KmsKeyId"], database["DBName"]) == (stacks.outputs("storage")["KeyArn"], "dagster")


def test_the_host_installs_the_release_that_the_stack_names_and_holds_no_secret(stacks: Stacks) -> None:
    release = stacks.client("ssm").get_parameter(Name=f"/{PLATFORM}/release")["Parameter"]["Value"]
    found = stacks.client("ec2").describe_instance_attribute(
        InstanceId=stacks.outputs("host")["HostId"], Attribute="userData"
    )

    user_data = base64.b64decode(found["UserData"]["Value"]).decode()
    assert release == "v1.2.3"
    assert f"--name /{PLATFORM}/release" in user_data
    assert f"s3://{PLATFORM}-work-{ACCOUNT}-{REGION}/install/capstone-$release.tar.gz" in user_data
    assert f'deploy/host/install.sh" {PLATFORM}' in user_data
    assert "${" not in user_data
    assert "f1rst" not in user_data
    installer = user_data.partition("<<'END'\n")[2].partition("\nEND\n")[0]
    for script in (user_data, installer):
        assert script.startswith("#!/usr/bin/env bash\n")
        assert subprocess.run(["/usr/bin/env", "bash", "-n"], input=script, text=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("rule", "kind", "state"),
    [
        ("ClusterFailed", "EMR Cluster State Change", "TERMINATED_WITH_ERRORS"),
        ("StepFailed", "EMR Step Status Change", "FAILED"),
    ],
)
def test_a_failure_of_the_platform_is_told_and_no_other(stacks: Stacks, rule: str, kind: str, state: str) -> None:
    events = stacks.client("events")
    name = stacks.made("alarms", rule)
    pattern = json.loads(events.describe_rule(Name=name)["EventPattern"])
    targets = events.list_targets_by_rule(Rule=name)["Targets"]

    assert pattern == {
        "source": ["aws.emr"],
        "detail-type": [kind],
        "detail": {"name": [{"prefix": "capstone "}], "state": [state]},
    }
    assert [target["Arn"] for target in targets] == [stacks.outputs("alarms")["CapstoneAlertTopic"]]
