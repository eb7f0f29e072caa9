package cases.residency

import rego.v1

# METADATA
# entrypoint: true
main := {"allow": allow, "deny": deny, "warn": warn}

warn := set()

default allow := true

deny contains {"code": "residency", "msg": sprintf("%s may not leave %s", [tag, input.context.region])} if {
	some tag in input.resource.tags
	input.context.region in data.closed[tag]
}
