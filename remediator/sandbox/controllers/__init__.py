"""What moves in the sandbox cluster: controllers, a scheduler and kubelets, all driven by one injected clock.

Annotations steer it. A pod reads its own (from the template), then those of its workload (Deployment, StatefulSet,
DaemonSet, ReplicaSet), so that a running workload can be made ill, or well, without a rollout. All begin with
`sandbox.remediator.io/`:

| annotation | value | what it does | default |
|---|---|---|---|
| `behaviour` | `healthy` | runs and becomes ready | this |
|---|---|---|---|
|---|---|---|---|
|---|---|---|---|
|---|---|---|---|
|---|---|---|---|
| `run-after` | duration | from its node to a running container | 0.1s |
| `ready-after` | duration | from running to ready | 0.3s |
| `crash-after` | duration | from running (or from falling ill) to the failure | 0.2s |
| `exit-code` | 1 to 255 | with what a crash ends | 1 |
| `log` | text | what a container prints before it fails; `{}` is its name | |
| `back-off` | duration | the first wait before a restart (or another pull); it doubles | 1s |
| `back-off-limit` | duration | the longest such wait | 10s |
| `terminate-after` | duration | from the deletion of a pod to its end, at most its grace period | 0.2s |
| `node` | words with commas | on a node: `not-ready`, `disk-pressure`, `memory-pressure`, `pid-pressure` | |
| `load` | whole number | on a workload: the work there is, in percent of one pod's request, seen by autoscalers | 0 |
| `manifests` | JSON | on an Application of Argo CD: what its Git has, a list of objects | `[]` |

Any behaviour but `healthy` may end in `-until-restarted` (`crash-until-restarted`): pods of the template under which
it was first seen have it; those of a template with other annotations, such as a rollout restart makes, are well. Or in
`-until-scaled:N` (`crash-until-scaled:3`): they have it while their workload asks for fewer than N replicas. A bare
`crash` is cured by neither: only a template, or an annotation, without it helps (a rollback, an edit). A cured pod
that waits in its back-off gets well at its next start. A value that cannot be read counts as healthy and leaves a
Warning event `BadAnnotation` on the pod.

Durations are written `0.3s`, `200ms`, `2m`. All are of cluster time: a `Pace` with speed 10 makes them pass ten times
as fast, deadlines of rollouts included.
"""
