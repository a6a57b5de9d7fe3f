"""The custom resources of the chart and the examples, as strict models: a misspelt field fails.

An API server drops the fields that it does not know, and what they should have done is not done. No
package brings the operators' schemas in a form that refuses such fields, so here is what we use of
them, and no more; each class names the definition that it is taken from. What we begin to use goes
in here from there.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

CORE: Final = {
    *("v1", "apps/v1", "batch/v1"),
    *("autoscaling/v2", "networking.k8s.io/v1", "policy/v1"),
}
"""The API versions that are no custom resources: kubernetes-validate knows them."""

Strings = dict[str, str]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
Duration = Annotated[str, Field(pattern=r"^[0-9]+(ms|s|m|h|d)$")]
Cidr = Annotated[str, Field(pattern=r"^[0-9.]+/[0-9]{1,2}$")]


class Part(BaseModel):
    """Any object inside a resource."""

    model_config = ConfigDict(  # type: ignore[pydantic-alias]  # nobody makes one by name
        extra="forbid", strict=True, alias_generator=to_camel
    )


class Named(Part):
    """A reference to something in the same namespace."""

    name: Name


class Selector(Part):
    """Which pods or nodes."""

    match_labels: Strings


class Metadata(Part):
    """Whatever kind."""

    name: Name
    namespace: Name | None = None
    labels: Strings = {}
    annotations: Strings = {}


class Resource(Part):
    """Whatever kind."""

    metadata: Metadata


# -- KEDA 2.17: kedacore/keda, config/crd/bases/keda.sh_{scaledobjects,triggerauthentications}.yaml;
#    `fallback.behavior` is no older. A trigger's metadata are free there: pkg/scalers/rabbitmq_scaler.go


class SecretTarget(Part):
    """A parameter of a trigger."""

    parameter: Literal["host"]
    name: Name
    key: str


class TriggerAuthenticationSpec(Part):
    """What a trigger needs to know and nobody else may."""

    secret_target_ref: list[SecretTarget]


class TriggerAuthentication(Resource):
    """Of a ScaledObject."""

    api_version: Literal["keda.sh/v1alpha1"]
    kind: Literal["TriggerAuthentication"]
    spec: TriggerAuthenticationSpec


class Policy(Part):
    """A HorizontalPodAutoscaler's, autoscaling/v2."""

    type: Literal["Pods", "Percent"]
    value: Annotated[int, Field(ge=1)]
    period_seconds: Annotated[int, Field(ge=1, le=1800)]


class ScalingRules(Part):
    """A HorizontalPodAutoscaler's, autoscaling/v2."""

    stabilization_window_seconds: Annotated[int, Field(ge=0, le=3600)]
    policies: list[Policy]


class Behavior(Part):
    """A HorizontalPodAutoscaler's, autoscaling/v2."""

    scale_down: ScalingRules


class AutoscalerConfig(Part):
    """What KEDA hands on."""

    behavior: Behavior


class Advanced(Part):
    """Beyond triggers."""

    horizontal_pod_autoscaler_config: AutoscalerConfig


class Fallback(Part):
    """Where a trigger can't be asked."""

    failure_threshold: int
    replicas: int
    behavior: Literal["static", "currentReplicas", "currentReplicasIfHigher"]


class RabbitTriggerMetadata(Part):
    """All of them are strings to the API."""

    protocol: Literal["auto", "http", "amqp"]
    mode: Literal["QueueLength", "MessageRate"]
    value: Annotated[str, Field(pattern=r"^[0-9.]+$")]
    queue_name: str
    use_regex: Literal["true", "false"]
    operation: Literal["sum", "max", "avg"]
    exclude_unacknowledged: Literal["true", "false"]
    page_size: Annotated[str, Field(pattern=r"^[0-9]+$")]


class Trigger(Part):
    """RabbitMQ's."""

    type: Literal["rabbitmq"]
    metadata: RabbitTriggerMetadata
    authentication_ref: Named


class ScaledObjectSpec(Part):
    """What is scaled, by what."""

    scale_target_ref: Named
    min_replica_count: int
    max_replica_count: int
    polling_interval: int
    cooldown_period: int
    fallback: Fallback
    advanced: Advanced
    triggers: Annotated[list[Trigger], Field(min_length=1)]


class ScaledObject(Resource):
    """Makes a HorizontalPodAutoscaler."""

    api_version: Literal["keda.sh/v1alpha1"]
    kind: Literal["ScaledObject"]
    spec: ScaledObjectSpec


# -- Prometheus operator 0.80: prometheus-operator/prometheus-operator,
#    example/prometheus-operator-crd/monitoring.coreos.com_{podmonitors,prometheusrules}.yaml


class MetricsEndpoint(Part):
    """By the name of a container's port."""

    port: str
    path: str = "/metrics"
    interval: Duration | None = None


class PodMonitorSpec(Part):
    """What is scraped."""

    selector: Selector
    job_label: str | None = None
    pod_metrics_endpoints: Annotated[list[MetricsEndpoint], Field(min_length=1)]


class PodMonitor(Resource):
    """Scrapes pods without a Service."""

    api_version: Literal["monitoring.coreos.com/v1"]
    kind: Literal["PodMonitor"]
    spec: PodMonitorSpec


class Recording(Part):
    """A rule that keeps a value."""

    record: Annotated[str, Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")]
    expr: str


class Annotations(Part):
    """Ours: free there."""

    summary: str
    runbook: str


class Alert(Part):
    """A rule that tells somebody."""

    alert: str
    expr: str
    for_: Annotated[Duration | None, Field(alias="for")] = None
    labels: Strings
    annotations: Annotations


class RuleGroup(Part):
    """Evaluated in order."""

    name: str
    rules: Annotated[list[Alert | Recording], Field(min_length=1)]


class PrometheusRuleSpec(Part):
    """A file of rules."""

    groups: Annotated[list[RuleGroup], Field(min_length=1)]


class PrometheusRule(Resource):
    """Rules of a Prometheus."""

    api_version: Literal["monitoring.coreos.com/v1"]
    kind: Literal["PrometheusRule"]
    spec: PrometheusRuleSpec


# -- Gateway API 1.2, standard channel: kubernetes-sigs/gateway-api,
#    config/crd/standard/gateway.networking.k8s.io_httproutes.yaml


class ParentRef(Part):
    """A Gateway's listener."""

    name: Name
    namespace: Name | None = None
    section_name: str | None = None


class BackendRef(Part):
    """A Service."""

    name: Name
    port: Annotated[int, Field(ge=1, le=65535)]


class RouteRule(Part):
    """Without matches: everything."""

    backend_refs: list[BackendRef]


class HttpRouteSpec(Part):
    """Which requests go where."""

    parent_refs: Annotated[list[ParentRef], Field(min_length=1)]
    hostnames: list[Name] = []
    rules: list[RouteRule]


class HttpRoute(Resource):
    """A route of a Gateway."""

    api_version: Literal["gateway.networking.k8s.io/v1"]
    kind: Literal["HTTPRoute"]
    spec: HttpRouteSpec


# -- RabbitMQ cluster operator 2: rabbitmq/cluster-operator,
#    config/crd/bases/rabbitmq.com_rabbitmqclusters.yaml


class Rabbit(Part):
    """The broker's own configuration."""

    additional_config: str


class RabbitmqClusterSpec(Part):
    """The nodes."""

    replicas: int
    rabbitmq: Rabbit


class RabbitmqCluster(Resource):
    """Its pods, and its Service, are told by `app.kubernetes.io/name: <the cluster's name>` alone."""

    api_version: Literal["rabbitmq.com/v1beta1"]
    kind: Literal["RabbitmqCluster"]
    spec: RabbitmqClusterSpec


# -- RabbitMQ messaging topology operator 1: rabbitmq/messaging-topology-operator,
#    config/crd/bases/rabbitmq.com_{users,permissions,topicpermissions}.yaml


class InCluster(Part):
    """What all of them have."""

    rabbitmq_cluster_reference: Named


class UserSpec(InCluster):
    """Name and password come from the Secret."""

    import_credentials_secret: Named
    tags: list[Literal["management", "policymaker", "monitoring", "administrator"]] = []


class User(Resource):
    """An account."""

    api_version: Literal["rabbitmq.com/v1beta1"]
    kind: Literal["User"]
    spec: UserSpec


class Permissions(Part):
    """Patterns over names."""

    configure: str
    write: str
    read: str


class PermissionSpec(InCluster):
    """Whose, and where."""

    vhost: str
    user_reference: Named
    permissions: Permissions


class Permission(Resource):
    """What an account may do."""

    api_version: Literal["rabbitmq.com/v1beta1"]
    kind: Literal["Permission"]
    spec: PermissionSpec


class TopicPermissions(Part):
    """Patterns over routing keys."""

    exchange: str
    write: str
    read: str


class TopicPermissionSpec(InCluster):
    """Whose, and where."""

    vhost: str
    user_reference: Named
    permissions: TopicPermissions


class TopicPermission(Resource):
    """What an account may publish to a topic exchange."""

    api_version: Literal["rabbitmq.com/v1beta1"]
    kind: Literal["TopicPermission"]
    spec: TopicPermissionSpec


# -- CloudNativePG 1.26: cloudnative-pg/cloudnative-pg, config/crd/bases/postgresql.cnpg.io_clusters.yaml;
#    `monitoring.enablePodMonitor` is deprecated there, hence a PodMonitor of our own in the example


class Synchronous(Part):
    """How many standbys confirm a commit."""

    method: Literal["any", "first"]
    number: int


class PostgresConfiguration(Part):
    """The server's own."""

    synchronous: Synchronous


class InitDb(Part):
    """The database, and who owns it."""

    database: str
    owner: str


class Bootstrap(Part):
    """From nothing."""

    initdb: InitDb


class ManagedRole(Part):
    """A role that the operator keeps."""

    name: str
    ensure: Literal["present", "absent"]
    login: bool
    in_roles: list[str] = []
    password_secret: Named | None = None


class Managed(Part):
    """What the operator keeps inside."""

    roles: list[ManagedRole]


class Storage(Part):
    """A volume an instance."""

    size: Annotated[str, Field(pattern=r"^[0-9]+[MGT]i$")]


class ClusterSpec(Part):
    """The instances."""

    instances: int
    postgresql: PostgresConfiguration
    bootstrap: Bootstrap
    managed: Managed
    storage: Storage


class Cluster(Resource):
    """Its pods have `cnpg.io/cluster: <the cluster's name>`."""

    api_version: Literal["postgresql.cnpg.io/v1"]
    kind: Literal["Cluster"]
    spec: ClusterSpec


# -- Cilium 1.16: cilium/cilium, pkg/k8s/apis/cilium.io/client/crds/v2/ciliumegressgatewaypolicies.yaml


class EgressRule(Part):
    """Whose packets."""

    pod_selector: Selector


class EgressGateway(Part):
    """Where they leave, and with which address."""

    node_selector: Selector
    egress_ip: Annotated[str, Field(alias="egressIP", pattern=r"^[0-9.]+$")]


class EgressGatewaySpec(Part):
    """Which packets leave where."""

    selectors: list[EgressRule]
    destination_cidrs: Annotated[list[Cidr], Field(alias="destinationCIDRs", min_length=1)]
    egress_gateway: EgressGateway


class CiliumEgressGatewayPolicy(Resource):
    """Of the whole cluster: no namespace."""

    api_version: Literal["cilium.io/v2"]
    kind: Literal["CiliumEgressGatewayPolicy"]
    spec: EgressGatewaySpec


_RESOURCE: Final[TypeAdapter[Resource]] = TypeAdapter(
    Annotated[
        TriggerAuthentication
        | ScaledObject
        | PodMonitor
        | PrometheusRule
        | HttpRoute
        | RabbitmqCluster
        | User
        | Permission
        | TopicPermission
        | Cluster
        | CiliumEgressGatewayPolicy,
        Field(discriminator="kind"),
    ]
)


def judge(resource: dict[str, Any]) -> None:
    """Raises pydantic.ValidationError, which names the field."""
    _RESOURCE.validate_python(resource)
