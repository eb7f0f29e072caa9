package cases.ownership

import rego.v1

# METADATA
# entrypoint: true
main := {"allow": allow, "deny": deny, "warn": warn}

warn := set()

default allow := false

allow if input.resource.owner == input.subject.id

allow if "admin" in input.subject.roles

deny contains concat("", ["not owned by ", input.subject.id]) if not allow
