package cases.shapes

import rego.v1

# METADATA
# entrypoint: true
main := {"allow": allow, "deny": deny, "warn": warn}

warn := set()

default allow := true

deny contains sprintf("%s is missing", [key]) if {
	some key in {"subject", "action", "resource", "amount"}
	not key in object.keys(input)
}

deny contains sprintf("%s is %s", [key, type_name(value)]) if {
	some key, value in input
	type_name(value) in {"null", "boolean"}
}
