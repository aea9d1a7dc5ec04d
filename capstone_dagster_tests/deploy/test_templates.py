"""The templates as they stand: nothing is open, nothing is plain, and no role may do everything."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.cloudformation.parsing import resource_class_from_type

from capstone_dagster.emr.cluster_request import PROTECTED_BY_TAG
from capstone_dagster_tests.deploy.stacks import FOLDER, NAMES, NOT_IN_MOTO, resources, template

# Statements that cannot name what they are about.
ANY_RESOURCE = {
    "AccountDecidesByRoles": "in the policy of a key, * is this key",
    "EncryptAlarms": "in the policy of a key, * is this key",
    "EncryptEvents": "in the policy of a key, * is this key",
    "VendorsEncryptWhatTheyDeliver": "in the policy of a key, * is this key",
    "MakeClustersOfRuns": "a cluster has no name before it exists; its tags are asked for",
    "FindClusters": "AWS knows no narrower form of it; it shows names only",
    "ReportHealth": "AWS knows no narrower form of it; the namespace is asked for",
    "SeeUnhealthyMachines": "AWS knows no narrower form of it",
    "TakePartInSessions": "AWS knows no narrower form of it",
}
# Families of actions that AWS itself describes with a *, on the platform's own key.
ANY_OF_A_FAMILY = {"kms:*": {"AccountDecidesByRoles"}, "kms:ReEncrypt*": None, "kms:GenerateDataKey*": None}


def _statements(node: Any) -> Iterator[dict[str, Any]]:
    """Every IAM statement, wherever it stands."""
    if isinstance(node, dict):
        if "Effect" in node and "Action" in node:
            yield node
        for value in node.values():
            yield from _statements(value)
    elif isinstance(node, list):
        for value in node:
            yield from _statements(value)


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


ALLOWING = [statement for name in NAMES for statement in _statements(template(name)) if statement["Effect"] == "Allow"]


def test_there_is_one_template_per_stack() -> None:
    assert {path.name for path in FOLDER.iterdir()} == {f"{name}.yaml" for name in NAMES}


def test_the_linter_finds_nothing() -> None:
    linter = Path(sys.executable).with_name("cfn-lint")
    found = subprocess.run([linter, *sorted(FOLDER.iterdir())], capture_output=True, text=True, check=False)

    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_what_moto_does_not_make_is_named() -> None:
    used = {resource["Type"] for name in NAMES for resource in template(name)["Resources"].values()}

    assert {kind for kind in used if resource_class_from_type(kind) is None} == NOT_IN_MOTO


def test_a_statement_names_its_actions() -> None:
    assert len(ALLOWING) > 30
    for statement in ALLOWING:
        for action in _as_list(statement["Action"]):
            if "*" in action:
                sids = ANY_OF_A_FAMILY[action]
                assert sids is None or statement["Sid"] in sids


def test_a_statement_names_its_resources_or_has_a_reason() -> None:
    unnamed = {
        statement["Sid"] for statement in ALLOWING if "*" in map(str, _as_list(statement.get("Resource", "trust")))
    }

    assert unnamed == set(ANY_RESOURCE)


def test_a_role_is_passed_to_one_service_only() -> None:
    passing = [statement for statement in ALLOWING if "iam:PassRole" in _as_list(statement["Action"])]

    assert [statement["Sid"] for statement in passing] == [
        "GiveMachinesTheirRole",
        "GiveClustersTheirRoles",
        "GiveMachinesTheirRole",
    ]
    for statement in passing:
        assert list(statement["Condition"]["StringEquals"]) == ["iam:PassedToService"]
        assert "*" not in json.dumps(statement["Resource"])


def test_a_named_cluster_may_be_used_like_those_of_runs_and_it_alone() -> None:
    [own] = [statement for statement in ALLOWING if statement.get("Sid") == "UseClustersOfRuns"]
    [named] = [statement for statement in ALLOWING if statement.get("Sid") == "UseTheNamedCluster"]

    assert named["Action"] == own["Action"]
    assert named["Resource"]["Fn::Sub"].endswith(":cluster/${ClusterId}")


def test_on_a_named_cluster_only_the_tag_that_says_who_protects_it_may_be_changed() -> None:
    [tagging] = [statement for statement in ALLOWING if "elasticmapreduce:RemoveTags" in _as_list(statement["Action"])]

    assert tagging["Action"] == ["elasticmapreduce:AddTags", "elasticmapreduce:RemoveTags"]
    assert tagging["Resource"]["Fn::Sub"].endswith(":cluster/${ClusterId}")
    assert tagging["Condition"] == {"ForAllValues:StringEquals": {"aws:TagKeys": [PROTECTED_BY_TAG]}}


def test_managed_policies_are_those_of_emr_and_of_the_password() -> None:
    roles = dict(resources("AWS::IAM::Role"))
    managed = {name: role["Properties"].get("ManagedPolicyArns", []) for name, role in roles.items()}

    of_emr = "arn:${AWS::Partition}:iam::aws:policy/service-role/AmazonEMRServicePolicy_v2"
    assert managed == {
        "ServiceRole": [{"Fn::Sub": of_emr}],
        "InstanceRole": [],
        "Role": [{"Fn::ImportValue": {"Fn::Sub": "${Platform}-read-password"}}],
    }


def test_keys_change_every_year_and_that_of_the_data_stays_and_is_opened_by_roles_only() -> None:
    keys = [key for _, key in resources("AWS::KMS::Key")]
    of_data = keys[0]

    assert [key["Properties"]["EnableKeyRotation"] for key in keys] == [True, True]
    assert (of_data["DeletionPolicy"], of_data["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    assert [_sids(key) for key in keys] == [
        ["AccountDecidesByRoles", "VendorsEncryptWhatTheyDeliver"],
        ["AccountDecidesByRoles", "EncryptAlarms", "EncryptEvents"],
    ]
    [(_, topic)] = resources("AWS::SNS::Topic")
    assert topic["Properties"]["KmsMasterKeyId"] == {"Ref": "Key"}


def _sids(key: dict[str, Any]) -> list[str]:
    return [statement["Sid"] for statement in _statements(key["Properties"]["KeyPolicy"])]


BUCKETS = dict(resources("AWS::S3::Bucket"))


@pytest.mark.parametrize("name", ["RawBucket", "LakeBucket", "WorkBucket"])
def test_a_bucket_is_closed_versioned_encrypted_and_stays(name: str) -> None:
    bucket = BUCKETS[name]
    properties = bucket["Properties"]

    assert (bucket["DeletionPolicy"], bucket["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
    assert properties["PublicAccessBlockConfiguration"] == dict.fromkeys(
        ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"], True
    )
    assert properties["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    [encryption] = properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption["BucketKeyEnabled"] is True
    assert encryption["ServerSideEncryptionByDefault"] == {
        "SSEAlgorithm": "aws:kms",
        "KMSMasterKeyID": {"Fn::GetAtt": ["Key", "Arn"]},
    }


def test_a_bucket_refuses_plain_connections() -> None:
    policies = dict(resources("AWS::S3::BucketPolicy"))

    assert set(policies) == {f"{name}Policy" for name in BUCKETS}
    for bucket, policy in ((name.removesuffix("Policy"), policy) for name, policy in policies.items()):
        assert policy["Properties"]["Bucket"]["Fn::If"][:2] == ["MakesBuckets", {"Ref": bucket}]
        name = BUCKETS[bucket]["Properties"]["BucketName"]["Fn::Sub"]
        assert policy["Properties"]["Bucket"]["Fn::If"][2] == {"Fn::Sub": name}
        [statement] = [each for each in _statements(policy) if each["Effect"] == "Deny"]
        assert (statement["Principal"], statement["Action"]) == ("*", "s3:*")
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        arn = "arn:${AWS::Partition}:s3:::" + name
        assert statement["Resource"] == [{"Fn::Sub": arn}, {"Fn::Sub": f"{arn}/*"}]


@pytest.mark.parametrize("name", ["RawBucket", "LakeBucket", "WorkBucket"])
def test_who_has_used_a_bucket_is_written_into_another_one(name: str) -> None:
    logging = BUCKETS[name]["Properties"]["LoggingConfiguration"]
    [statement] = [each for each in _statements(template("storage")) if each.get("Sid") == "LogsOfTheBuckets"]

    assert logging["DestinationBucketName"] == {"Ref": "AccessBucket"}
    assert statement["Principal"] == {"Service": "logging.s3.amazonaws.com"}
    # No other account may write there, and S3 cannot write these logs with a key of the platform.
    assert statement["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    [encryption] = BUCKETS["AccessBucket"]["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}


def test_vendors_may_deliver_and_neither_read_nor_delete() -> None:
    vendors = {each["Sid"]: each for each in _statements(template("storage")) if "Vendors" in each.get("Sid", "")}

    assert {sid: each["Principal"] for sid, each in vendors.items()} == {
        "VendorsDeliver": {"AWS": {"Ref": "Vendors"}},
        "VendorsEncryptWhatTheyDeliver": {"AWS": {"Ref": "Vendors"}},
    }
    assert vendors["VendorsDeliver"]["Action"] == ["s3:PutObject", "s3:AbortMultipartUpload"]
    assert "-raw-" in vendors["VendorsDeliver"]["Resource"]["Fn::Sub"]


def test_profile_and_role_of_the_machines_have_the_same_name() -> None:
    [(_, profile)] = [found for found in resources("AWS::IAM::InstanceProfile") if found[0] == "InstanceProfile"]
    role = dict(resources("AWS::IAM::Role"))["InstanceRole"]

    assert profile["Properties"]["InstanceProfileName"] == role["Properties"]["RoleName"]


def test_only_files_of_steps_logs_old_versions_and_unfinished_uploads_expire() -> None:
    def rules(bucket: str) -> set[tuple[str, str]]:
        """What a rule ends, and below which prefix."""
        found = BUCKETS[bucket]["Properties"]["LifecycleConfiguration"]["Rules"]
        ends = ("AbortIncompleteMultipartUpload", "NoncurrentVersionExpiration", "ExpirationInDays")
        assert {rule["Status"] for rule in found} == {"Enabled"}
        return {(end, rule.get("Prefix", "")) for rule in found for end in ends if end in rule}

    everywhere = {("AbortIncompleteMultipartUpload", ""), ("NoncurrentVersionExpiration", "")}
    assert rules("RawBucket") == rules("LakeBucket") == everywhere
    # Never staging/code: a run between its look and its use would fail.
    expiring = {("ExpirationInDays", f"{prefix}/") for prefix in ("staging/runs", "logs", "athena")}
    assert rules("WorkBucket") == everywhere | expiring
    defaults = {name: parameter.get("Default") for name, parameter in template("storage")["Parameters"].items()}
    assert (defaults["StagingDays"], defaults["LogDays"], defaults["OldVersionDays"]) == (14, 90, 30)


def test_the_database_is_encrypted_protected_and_keeps_its_password_to_itself() -> None:
    [(_, database)] = resources("AWS::RDS::DBInstance")
    properties = database["Properties"]

    assert (properties["Engine"], int(properties["EngineVersion"]) >= 16) == ("postgres", True)
    assert properties["ManageMasterUserPassword"] is True
    assert "MasterUserPassword" not in properties
    assert (properties["DeletionProtection"], properties["PubliclyAccessible"]) == (True, False)
    # From a snapshot it has the encryption of that.
    assert properties["StorageEncrypted"]["Fn::If"] == ["FromSnapshot", {"Ref": "AWS::NoValue"}, True]
    assert database["DeletionPolicy"] == "Snapshot"
    [(_, parameters)] = resources("AWS::RDS::DBParameterGroup")
    assert parameters["Properties"]["Parameters"] == {"rds.force_ssl": "1"}


def test_the_reader_of_the_warehouse_has_a_secret_a_policy_and_a_rule_if_there_are_readers() -> None:
    [(name, secret)] = resources("AWS::SecretsManager::Secret")
    made = secret["Properties"]["GenerateSecretString"]
    assert (made["SecretStringTemplate"], made["GenerateStringKey"]) == ('{"username": "warehouse_reader"}', "password")
    assert secret["Properties"]["KmsKeyId"] == {"Fn::ImportValue": {"Fn::Sub": "${Platform}-key"}}

    policy = dict(resources("AWS::IAM::ManagedPolicy"))["ReadWarehouse"]["Properties"]
    assert [(allowed["Action"], allowed["Resource"]) for allowed in policy["PolicyDocument"]["Statement"]] == [
        ("secretsmanager:GetSecretValue", {"Ref": name}),
        ("kms:Decrypt", {"Fn::ImportValue": {"Fn::Sub": "${Platform}-key"}}),
    ]
    assert not {"Roles", "Users", "Groups"} & set(policy)

    [(_, rule)] = resources("AWS::EC2::SecurityGroupIngress")
    assert rule["Condition"] == "HasReaders"
    assert template("database")["Parameters"]["WarehouseReaders"]["Default"] == ""
    assert {key: rule["Properties"][key] for key in ("FromPort", "ToPort", "SourceSecurityGroupId")} == {
        "FromPort": 5432,
        "ToPort": 5432,
        "SourceSecurityGroupId": {"Ref": "WarehouseReaders"},
    }


def test_nothing_comes_in_but_the_host_to_the_database() -> None:
    groups = dict(resources("AWS::EC2::SecurityGroup"))

    assert set(groups) == {"HostGroup", "Group"}
    assert "SecurityGroupIngress" not in groups["HostGroup"]["Properties"]
    *ways_out, mail = groups["HostGroup"]["Properties"]["SecurityGroupEgress"]
    assert [way["ToPort"] for way in ways_out] == [443, 5432]
    assert (mail["Fn::If"][0], mail["Fn::If"][1]["ToPort"]) == ("HasMail", {"Ref": "MailPort"})
    assert template("network")["Parameters"]["MailPort"]["Default"] == ""
    [rule] = groups["Group"]["Properties"]["SecurityGroupIngress"]
    assert (rule["FromPort"], rule["ToPort"]) == (5432, 5432)
    assert rule["SourceSecurityGroupId"] == {"Fn::ImportValue": {"Fn::Sub": "${Platform}-host-group"}}


def test_the_host_has_no_key_pair_no_old_metadata_service_and_an_encrypted_disk() -> None:
    [(_, host)] = resources("AWS::EC2::Instance")
    properties = host["Properties"]

    assert "KeyName" not in properties
    assert properties["MetadataOptions"]["HttpTokens"] == "required"
    assert [disk["Ebs"]["Encrypted"] for disk in properties["BlockDeviceMappings"]] == [True]


ALARMS = dict(resources("AWS::CloudWatch::Alarm"))


@pytest.mark.parametrize("name", ALARMS)
def test_an_alarm_tells_somebody_and_says_when_it_is_over(name: str) -> None:
    properties = ALARMS[name]["Properties"]

    imported = {"Fn::ImportValue": {"Fn::Sub": "${Platform}-alarms"}}
    topic = imported if name == "HostBroken" else {"Ref": "Topic"}
    assert properties["AlarmActions"] == properties["OKActions"] == [topic]
    assert properties["AlarmDescription"]


def test_a_silent_host_is_an_alarm() -> None:
    assert ALARMS["HostBroken"]["Properties"]["TreatMissingData"] == "breaching"
    assert ALARMS["DaemonDead"]["Properties"]["TreatMissingData"] == "breaching"
