package cases.reach

import rego.v1

# METADATA
# entrypoint: true
main := {"allow": allow, "deny": deny, "warn": warn}

deny := set()

default allow := false

allow if input.resource.owner in graph.reachable(data.reports, {input.subject.id})

warn contains {"msg": "reach", "details": graph.reachable(data.reports, {input.subject.id})}
