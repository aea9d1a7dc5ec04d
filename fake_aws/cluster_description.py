"""How EMR describes a cluster, its fleets or groups, and its machines."""

from typing import Any

from fake_aws.clusters import Cluster
from fake_aws.emr_image import REGION
from fake_aws.machines import instance_id

_FLEET_STATES = {
    "STARTING": "PROVISIONING",
    "BOOTSTRAPPING": "BOOTSTRAPPING",
    "RUNNING": "RUNNING",
    "WAITING": "RUNNING",
    "TERMINATING": "TERMINATING",
}
# The members of the request that DescribeCluster repeats.
_REPEATED = (
    "ReleaseLabel",
    "Applications",
    "Configurations",
    "ServiceRole",
    "ScaleDownBehavior",
    "SecurityConfiguration",
)


def summary(cluster: Cluster) -> dict[str, Any]:
    """The ClusterSummary of ListClusters."""
    timeline = {"CreationDateTime": cluster.created, "ReadyDateTime": cluster.ready, "EndDateTime": cluster.ended}
    return {
        "Id": cluster.id,
        "Name": cluster.request["Name"],
        "Status": {
            "State": cluster.state,
            "StateChangeReason": cluster.ending_reason,
            "Timeline": {name: moment for name, moment in timeline.items() if moment},
        },
        "NormalizedInstanceHours": 0,
        "ClusterArn": f"arn:aws:elasticmapreduce:{REGION}:123456789012:cluster/{cluster.id}",
    }


def description(cluster: Cluster) -> dict[str, Any]:
    """The Cluster of DescribeCluster."""
    request, instances = cluster.request, cluster.request["Instances"]
    described = summary(cluster) | {
        "AutoTerminate": not cluster.keeps_alive,
        "TerminationProtected": cluster.protected,
        "VisibleToAllUsers": True,
        "StepConcurrencyLevel": 1,
        "InstanceCollectionType": "INSTANCE_FLEET" if instances.get("InstanceFleets") else "INSTANCE_GROUP",
        "Tags": [{"Key": key, "Value": value} for key, value in cluster.tags.items()],
        "Ec2InstanceAttributes": {
            "IamInstanceProfile": request["JobFlowRole"],
            "RequestedEc2SubnetIds": instances.get("Ec2SubnetIds", []),
        },
        **{name: request[name] for name in _REPEATED if name in request},
    }
    if request.get("LogUri"):
        # EMR answers with the scheme of its own file system.
        described["LogUri"] = request["LogUri"].replace("s3://", "s3n://", 1)
    return described


def fleets(cluster: Cluster) -> list[dict[str, Any]]:
    """The InstanceFleets of ListInstanceFleets; all capacity is there as soon as the cluster runs."""
    state = _FLEET_STATES.get(cluster.state, "TERMINATED")
    described = []
    for fleet in cluster.request["Instances"]["InstanceFleets"]:
        wanted = {"OnDemand": fleet.get("TargetOnDemandCapacity", 0), "Spot": fleet.get("TargetSpotCapacity", 0)}
        described.append(
            {
                "Id": f"if-{fleet['InstanceFleetType']}-{cluster.id}",
                "Name": fleet.get("Name", ""),
                "InstanceFleetType": fleet["InstanceFleetType"],
                "Status": {"State": state, "StateChangeReason": {}, "Timeline": {"CreationDateTime": cluster.created}},
                **{f"Target{kind}Capacity": number for kind, number in wanted.items()},
                **{
                    f"Provisioned{kind}Capacity": number if state == "RUNNING" else 0 for kind, number in wanted.items()
                },
                "InstanceTypeSpecifications": [
                    {"InstanceType": each["InstanceType"], "WeightedCapacity": each.get("WeightedCapacity", 1)}
                    for each in fleet["InstanceTypeConfigs"]
                ],
            }
        )
    return described


def groups(cluster: Cluster) -> list[dict[str, Any]]:
    """The InstanceGroups of ListInstanceGroups, also of a request in the older form."""
    instances, state = cluster.request["Instances"], _FLEET_STATES.get(cluster.state, "TERMINATED")
    asked = instances.get("InstanceGroups")
    if not asked:
        kinds = (
            ("MASTER", "MasterInstanceType", 1),
            ("CORE", "SlaveInstanceType", instances.get("InstanceCount", 1) - 1),
        )
        asked = [
            {"InstanceRole": role, "InstanceType": instances[name], "InstanceCount": count}
            for role, name, count in kinds
            if count and instances.get(name)
        ]
    return [
        {
            "Id": f"ig-{group['InstanceRole']}-{cluster.id}",
            "Name": group.get("Name", ""),
            "Market": group.get("Market", "ON_DEMAND"),
            "InstanceGroupType": group["InstanceRole"],
            "InstanceType": group["InstanceType"],
            "RequestedInstanceCount": group["InstanceCount"],
            "RunningInstanceCount": group["InstanceCount"] if state == "RUNNING" else 0,
            "Status": {"State": state, "StateChangeReason": {}, "Timeline": {"CreationDateTime": cluster.created}},
        }
        for group in asked
    ]


def machines(cluster: Cluster) -> list[tuple[str, dict[str, Any]]]:
    """The Instances of ListInstances, each with MASTER, CORE or TASK."""
    found = []
    if cluster.request["Instances"].get("InstanceFleets"):
        for fleet in fleets(cluster):
            kind, of = fleet["InstanceFleetType"], {"InstanceFleetId": fleet["Id"]}
            first = fleet["InstanceTypeSpecifications"][0]["InstanceType"]
            for market, count in (("ON_DEMAND", "TargetOnDemandCapacity"), ("SPOT", "TargetSpotCapacity")):
                found += [(kind, {**of, "Market": market, "InstanceType": first})] * fleet[count]
    else:
        for group in groups(cluster):
            of = {"InstanceGroupId": group["Id"], "Market": group["Market"], "InstanceType": group["InstanceType"]}
            found += [(group["InstanceGroupType"], of)] * group["RequestedInstanceCount"]
    state = _FLEET_STATES.get(cluster.state, "TERMINATED").replace("TERMINATING", "RUNNING")
    timeline = {"CreationDateTime": cluster.created}
    return [
        (
            kind,
            {
                "Id": f"ci-{number:013}",
                "Ec2InstanceId": instance_id(number),
                "PrivateDnsName": f"ip-10-42-0-{number}.ec2.internal",
                "PrivateIpAddress": f"10.42.0.{number}",
                "Status": {"State": state, "StateChangeReason": {}, "Timeline": timeline},
                "EbsVolumes": [],
                **of,
            },
        )
        for number, (kind, of) in enumerate(found, start=1)
    ]
