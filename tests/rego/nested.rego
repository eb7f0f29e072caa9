package cases.nested

import rego.v1

# METADATA
# entrypoint: true
main := {"allow": allow, "deny": deny, "warn": warn}

warn := set()

default allow := true

found contains path if {
	walk(input, [path, value])
	value == "secret"
}

deny contains concat("/", [sprintf("%v", [part]) | some part in path]) if some path in found
