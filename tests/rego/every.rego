package cases.every

import rego.v1

# METADATA
# entrypoint: true
main := {"allow": allow, "deny": deny, "warn": warn}

deny := set()

default allow := false

allow if {
	count(input.items) > 0
	every item in input.items {
		item.price >= 0
		item.count > 0
	}
}

warn contains {"msg": "bad", "details": [index | some index, item in input.items; not item.count > 0]}
