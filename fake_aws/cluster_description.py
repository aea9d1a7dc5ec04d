"""How EMR describes a cluster and its fleets."""

from typing import Any

from fake_aws.clusters import Cluster
from fake_aws.emr_image import REGION

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
