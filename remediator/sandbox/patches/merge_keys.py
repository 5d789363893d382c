"""How the lists and unions of built-in kinds merge: by which key, as a set, or as one piece."""

from __future__ import annotations

# "Type.field" -> the key by which items of the list are the same item.
MERGE_KEYS = {
    "V1ObjectMeta.ownerReferences": "uid",
    "V1PodSpec.containers": "name",
    "V1PodSpec.initContainers": "name",
    "V1PodSpec.ephemeralContainers": "name",
    "V1PodSpec.volumes": "name",
    "V1PodSpec.imagePullSecrets": "name",
    "V1PodSpec.hostAliases": "ip",
    "V1PodSpec.topologySpreadConstraints": "topologyKey",
    "V1PodSpec.resourceClaims": "name",
    "V1PodSpec.schedulingGates": "name",
    "V1Container.env": "name",
    "V1Container.ports": "containerPort",
    "V1Container.volumeMounts": "mountPath",
    "V1Container.volumeDevices": "devicePath",
    "V1EphemeralContainer.env": "name",
    "V1PodStatus.conditions": "type",
    "V1PodStatus.podIPs": "ip",
    "V1PodStatus.hostIPs": "ip",
    "V1NodeStatus.conditions": "type",
    "V1NodeStatus.addresses": "type",
    "V1NamespaceStatus.conditions": "type",
    "V1PersistentVolumeClaimStatus.conditions": "type",
    "V1DeploymentStatus.conditions": "type",
    "V1ReplicaSetStatus.conditions": "type",
    "V1StatefulSetStatus.conditions": "type",
    "V1DaemonSetStatus.conditions": "type",
    "V1PodDisruptionBudgetStatus.conditions": "type",
    "V1ServiceSpec.ports": "port",
    "V1ServiceStatus.conditions": "type",
    "V1ServiceAccount.secrets": "name",
    "V1ServiceAccount.imagePullSecrets": "name",
}

# Lists of plain values that are merged as sets.
MERGED_SETS = frozenset({"V1ObjectMeta.finalizers", "V1NodeSpec.podCIDRs"})
