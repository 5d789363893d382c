"""remediator: a daemon that turns an operations team's runbook into code that runs itself.

Alertmanager posts webhooks to it, rule files say which alert deserves which remediation, it acts on Kubernetes within
guards, proves that the action helped, and keeps a record that says for every alert what was done or why nothing was.
`docs/` holds the design; `remediator/flow/pipeline.py` is the place to start reading.
"""

__version__ = "0.1.0"
