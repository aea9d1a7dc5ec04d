"""EMR's operations: they take the parameters of a request, and return the members of the answer or raise `EmrError`.

``emr_server`` receives the requests; ``clusters`` does what a cluster does.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from botocore import xform_name

from fake_aws import cluster_rules
from fake_aws.cluster_description import description, fleets, groups, machines, summary
from fake_aws.clusters import Cluster
from fake_aws.errors import EmrError, invalid_request, invalid_value
from fake_aws.request_shapes import check_shape
from fake_aws.steps import ACTIVE, Step

Params = Mapping[str, Any]
Answer = dict[str, Any]

_FINISHED = "A job flow that is shutting down, terminated, or finished may not be modified."


class Operations:
    """The operations that the fake EMR has."""

    def __init__(
        self, clusters: list[Cluster], changed: threading.Condition, make: Callable[[Params], Cluster], page_size: int
    ) -> None:
        self._clusters = clusters
        self._changed = changed
        self._make = make
        self._page_size = page_size

    def call(self, operation: str, params: Params) -> Answer:
        """Carry out one operation."""
        check_shape(operation, params)
        method: Callable[[Params], Answer | None] | None = getattr(self, xform_name(operation), None)
        if method is None:
            raise EmrError("UnknownOperationException", f"the fake EMR has no {operation}")
        with self._changed:
            return method(params) or {}

    # Clusters

    def run_job_flow(self, params: Params) -> Answer:
        """Create a cluster."""
        cluster_rules.check_cluster(params)
        cluster = self._make(params)
        self._clusters.append(cluster)
        return {"JobFlowId": cluster.id, "ClusterArn": description(cluster)["ClusterArn"]}

    def describe_cluster(self, params: Params) -> Answer:
        """Describe one cluster."""
        return {"Cluster": description(self._cluster(params))}

    def list_clusters(self, params: Params) -> Answer:
        """The clusters, newest first."""
        states = params.get("ClusterStates")
        after, before = params.get("CreatedAfter", 0), params.get("CreatedBefore", time.time() + 1)
        found = [
            summary(cluster)
            for cluster in reversed(self._clusters)
            if (not states or cluster.state in states) and after <= cluster.created <= before
        ]
        return self._page("Clusters", found, params)

    def list_instance_fleets(self, params: Params) -> Answer:
        """The fleets of the request."""
        cluster = self._cluster(params)
        if not cluster.request["Instances"].get("InstanceFleets"):
            raise invalid_request(
                "Instance fleets and instance groups are mutually exclusive: this cluster has groups."
            )
        return {"InstanceFleets": fleets(cluster)}

    def list_instance_groups(self, params: Params) -> Answer:
        """The groups of the request."""
        cluster = self._cluster(params)
        if cluster.request["Instances"].get("InstanceFleets"):
            raise invalid_request(
                "Instance fleets and instance groups are mutually exclusive: this cluster has fleets."
            )
        return self._page("InstanceGroups", groups(cluster), params)

    def list_instances(self, params: Params) -> Answer:
        """The machines."""
        fleet, states = params.get("InstanceFleetType"), params.get("InstanceStates")
        kinds = [fleet] if fleet else params.get("InstanceGroupTypes")
        found = [
            machine
            for kind, machine in machines(self._cluster(params))
            if (not kinds or kind in kinds) and (not states or machine["Status"]["State"] in states)
        ]
        return self._page("Instances", found, params)

    def list_bootstrap_actions(self, params: Params) -> Answer:
        """The bootstrap actions of the request."""
        actions = self._cluster(params).request.get("BootstrapActions", [])
        found = [
            {"Name": action["Name"], "ScriptPath": script["Path"], "Args": script.get("Args", [])}
            for action in actions
            for script in [action["ScriptBootstrapAction"]]
        ]
        return self._page("BootstrapActions", found, params)

    def describe_release_label(self, params: Params) -> Answer:
        """A release and its Spark, as far as the fake knows it."""
        label = params.get("ReleaseLabel", "")
        cluster_rules.check_release(label)
        return {"ReleaseLabel": label, "Applications": [{"Name": "Spark", "Version": version("pyspark")}]}

    def modify_cluster(self, params: Params) -> Answer:
        """Its step concurrency, which stays 1."""
        self._require_open(self._cluster(params))
        cluster_rules.check_concurrency(params)
        return {"StepConcurrencyLevel": 1}

    def set_termination_protection(self, params: Params) -> None:
        """Switch protection of clusters on or off."""
        for cluster in self._job_flows(params["JobFlowIds"]):
            self._require_open(cluster)
            cluster.protected = params["TerminationProtected"]
            self._changed.notify_all()

    def terminate_job_flows(self, params: Params) -> None:
        """End clusters that are not protected; an error if any is protected."""
        clusters = self._job_flows(params["JobFlowIds"])
        held = [cluster for cluster in clusters if cluster.protected and not cluster.is_ending]
        for cluster in clusters:
            if cluster not in held:
                cluster.end("USER_REQUEST", "Terminated by user request")
        if held:
            raise invalid_value("Could not shut down one or more job flows since they are termination protected.")

    def put_auto_termination_policy(self, params: Params) -> None:
        """Set, change or remove the policy."""
        policy = params.get("AutoTerminationPolicy")
        cluster_rules.check_auto_termination(policy)
        cluster = self._cluster(params)
        self._require_open(cluster)
        cluster.auto_termination = policy
        self._changed.notify_all()

    def get_auto_termination_policy(self, params: Params) -> Answer:
        """The policy, if there is one."""
        policy = self._cluster(params).auto_termination
        return {"AutoTerminationPolicy": policy} if policy else {}

    def put_managed_scaling_policy(self, params: Params) -> None:
        """Set or change the policy, which the fake only keeps."""
        cluster, policy = self._cluster(params), params["ManagedScalingPolicy"]
        self._require_open(cluster)
        has_fleets = bool(cluster.request["Instances"].get("InstanceFleets"))
        cluster_rules.check_managed_scaling(policy, has_fleets=has_fleets)
        cluster.managed_scaling = policy

    def get_managed_scaling_policy(self, params: Params) -> Answer:
        """The policy, if there is one."""
        policy = self._cluster(params).managed_scaling
        return {"ManagedScalingPolicy": policy} if policy else {}

    def remove_managed_scaling_policy(self, params: Params) -> None:
        """Remove the policy, if there is one."""
        self._cluster(params).managed_scaling = None

    def add_tags(self, params: Params) -> None:
        """Add or replace tags."""
        cluster_rules.check_tags(params["Tags"])
        tags = {tag["Key"]: tag.get("Value", "") for tag in params["Tags"]}
        self._cluster({"ClusterId": params["ResourceId"]}).tags.update(tags)

    def remove_tags(self, params: Params) -> None:
        """Remove tags, if they exist."""
        tags = self._cluster({"ClusterId": params["ResourceId"]}).tags
        for key in params["TagKeys"]:
            tags.pop(key, None)

    # Steps

    def add_job_flow_steps(self, params: Params) -> Answer:
        """Queue steps."""
        (cluster,) = self._job_flows([params["JobFlowId"]])
        self._require_open(cluster)
        active = sum(step.state in ACTIVE for step in cluster.steps)
        cluster_rules.check_number_of_steps(active, params["Steps"])
        return {"StepIds": cluster.add_steps(params["Steps"])}

    def describe_step(self, params: Params) -> Answer:
        """Describe one step."""
        return {"Step": self._step(self._cluster(params), params["StepId"]).description()}

    def list_steps(self, params: Params) -> Answer:
        """The steps, newest first; in the order of the ids if the request names any."""
        cluster, ids, states = self._cluster(params), params.get("StepIds"), params.get("StepStates")
        if ids and len(ids) > 10:
            raise invalid_request("At most 10 StepIds can be asked for.")
        steps = [self._step(cluster, step_id) for step_id in ids] if ids else cluster.steps[::-1]
        found = [step.description() for step in steps if not states or step.state in states]
        return self._page("Steps", found, params)

    def cancel_steps(self, params: Params) -> Answer:
        """Cancel waiting steps, and ask running steps to end."""
        cluster = self._cluster(params)
        option = params.get("StepCancellationOption", "SEND_INTERRUPT")
        answers = []
        for step in [self._step(cluster, step_id) for step_id in params["StepIds"]]:
            if step.ended:
                reason = f"Step {step.id} is {step.state} already"
                answers.append({"StepId": step.id, "Status": "FAILED", "Reason": reason})
            else:
                cluster.cancel(step, option)
                answers.append({"StepId": step.id, "Status": "SUBMITTED"})
        return {"CancelStepsInfoList": answers}

    # What they share

    def _cluster(self, params: Params) -> Cluster:
        cluster_id = params["ClusterId"]
        for cluster in self._clusters:
            if cluster.id == cluster_id:
                return cluster
        raise invalid_request(f"Cluster id '{cluster_id}' is not valid.")

    def _job_flows(self, ids: Sequence[str]) -> list[Cluster]:
        found = [cluster for cluster in self._clusters if cluster.id in ids]
        if len(found) != len(set(ids)) or not found:
            raise invalid_value("Specified job flow ID not valid.")
        return found

    @staticmethod
    def _require_open(cluster: Cluster) -> None:
        if cluster.is_ending:
            raise invalid_value(_FINISHED)

    @staticmethod
    def _step(cluster: Cluster, step_id: str) -> Step:
        for step in cluster.steps:
            if step.id == step_id:
                return step
        raise invalid_request(f"Step id '{step_id}' is not valid.")

    def _page(self, name: str, found: list[Answer], params: Params) -> Answer:
        # A marker is the number of members sent so far; new members may shift a page, as on EMR.
        try:
            start = int(params.get("Marker", "0"))
        except ValueError:
            raise invalid_request(f"Marker '{params['Marker']}' is not valid.") from None
        answer: Answer = {name: found[start : start + self._page_size]}
        if len(found) > start + self._page_size:
            answer["Marker"] = str(start + self._page_size)
        return answer
