"""The templates of deploy/cloudformation: as they stand, and as stacks in moto's server on loopback.

moto's CloudFormation makes most of them. What it skips is named below, so that nothing is skipped silently: of that
only the templates can be tested.
"""

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from cfnlint.decode import decode

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "cloudformation"
# In the order in which they are deployed: each uses what the ones before export.
NAMES = ("storage", "network", "database", "emr", "alarms", "host", "analysts")
PLATFORM, REGION, ACCOUNT = "market-data", "us-east-1", "123456789012"

# Types that moto's CloudFormation does not make...
NOT_IN_MOTO = {
    "AWS::S3::BucketPolicy",
    "AWS::Glue::Database",
    "AWS::SNS::TopicPolicy",
    "AWS::SNS::Subscription",
    "AWS::CloudWatch::Alarm",
    "AWS::SecretsManager::Secret",
    "AWS::Athena::WorkGroup",
}
# ...an attribute that it does not know, of a secret that RDS makes, and a secret (here the fixture makes both), a
# reference that it fails on...
_SECRET_ARN = json.dumps({"Fn::GetAtt": ["Database", "MasterUserSecret.SecretArn"]})
_READER_SECRET = json.dumps({"Ref": "ReaderSecret"})
_PARAMETERS = json.dumps({"DBParameterGroupName": {"Ref": "Parameters"}})[1:-1]
# ...and properties of types that it makes: of buckets all but encryption and tags, of roles the managed policies, of
# the database the managed password, deletion protection and groups, of the host metadata options and groups. A key
# that it has made from a template it cannot describe.


@cache
def template(name: str) -> dict[str, Any]:
    """A template with the short forms of functions written out."""
    read, problems = decode(str(FOLDER / f"{name}.yaml"))
    assert read is not None, problems
    return dict(read)


def resources(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """All resources of a type, with their names."""
    for name in NAMES:
        for resource, made in template(name)["Resources"].items():
            if made["Type"] == kind:
                yield resource, made


@dataclass(frozen=True)
class Stacks:
    """All stacks of one platform in the server."""

    endpoint: str
    secret_arn: str
    """The secret of the database."""
    reader_secret_arn: str
    """The secret of the warehouse's reader."""

    def client(self, service: str) -> Any:
        """A client that knows no other server."""
        return _client(self.endpoint, service)

    def environment(self) -> dict[str, str]:
        """The same for a program."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "loopback",
            "AWS_SECRET_ACCESS_KEY": "loopback",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    def make(self, name: str, platform: str = PLATFORM, **parameters: str) -> None:
        """One stack."""
        given = {"Platform": platform, **parameters}
        self.client("cloudformation").create_stack(
            StackName=f"{platform}-{name}",
            TemplateBody=_for_moto(name, self.secret_arn, self.reader_secret_arn),
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )

    def outputs(self, name: str, platform: str = PLATFORM) -> dict[str, str]:
        """The outputs of a stack."""
        [stack] = self.client("cloudformation").describe_stacks(StackName=f"{platform}-{name}")["Stacks"]
        return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}

    def made(self, name: str, resource: str) -> str:
        """The id of a resource of a stack."""
        found = self.client("cloudformation").describe_stack_resource(
            StackName=f"{PLATFORM}-{name}", LogicalResourceId=resource
        )
        made: str = found["StackResourceDetail"]["PhysicalResourceId"]
        return made

    def statements(self, stack: str, role: str) -> dict[str, Mapping[str, Any]]:
        """What a role may do by the policies in it, by the statements' names."""
        iam, name = self.client("iam"), self.made(stack, role)
        documents = [
            # moto gives a document as Python prints it.
            ast.literal_eval(iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"])
            for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]
        ]
        statements = [statement for document in documents for statement in document["Statement"]]
        # It leaves None where AWS leaves out a statement whose condition is not met.
        return {statement["Sid"]: statement for statement in statements if statement}


def deploy(endpoint: str) -> Stacks:
    """All stacks, one after the other, as docs/aws.md says."""
    manager = _client(endpoint, "secretsmanager")
    secrets = [
        manager.create_secret(Name=name, SecretString=json.dumps({"username": user, "password": "f1rst"}))["ARN"]
        for name, user in (("rds!db-1", "capstone"), ("ReaderSecret", "warehouse_reader"))
    ]
    stacks = Stacks(endpoint, *secrets)
    given = {"host": {"Release": "v1.2.3", "Image": "ami-12c6146b"}, "alarms": {"Email": "desk@example.com"}}
    for name in NAMES:
        stacks.make(name, **given.get(name, {}))
    return stacks


def _for_moto(name: str, secret_arn: str, reader_secret_arn: str) -> str:
    read = template(name)
    made = {key: resource for key, resource in read["Resources"].items() if resource["Type"] not in NOT_IN_MOTO}
    left_out = [{"Ref": key} for key in read["Resources"] if key not in made and key != "ReaderSecret"]
    outputs = {key: output for key, output in read["Outputs"].items() if output["Value"] not in left_out}
    body = json.dumps(read | {"Resources": made, "Outputs": outputs})
    body = body.replace(_SECRET_ARN, json.dumps(secret_arn)).replace(_READER_SECRET, json.dumps(reader_secret_arn))
    return body.replace(f"{_PARAMETERS}, ", "")


@cache
def _client(endpoint: str, service: str) -> Any:
    # boto3 takes longer to make a client than to ask it something.
    key = "loopback"
    session = boto3.Session(aws_access_key_id=key, aws_secret_access_key=key, region_name=REGION)
    return session.client(service, endpoint_url=endpoint)
