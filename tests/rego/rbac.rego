package cases.rbac

import rego.v1

# METADATA
# entrypoint: true
main := {"allow": allow, "deny": deny, "warn": warn}

warn := set()

default allow := false

allow if {
	some role in input.subject.roles
	some grant in data.grants[role]
	grant.action == input.action
	grant.type == input.resource.type
}

deny contains "suspended" if input.subject.suspended == true
