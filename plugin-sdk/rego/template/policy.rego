# Which tools an agent may call, and which of them need people.
package policy

import rego.v1

# METADATA
# entrypoint: true
main := {"effect": effect, "deny": deny, "warn": warn}

default effect := "allow"

effect := "review" if count(warn) > 0

deny contains {"code": "tool.unknown", "at": "/resource/id", "msg": concat(" ", ["no agent may call", input.resource.id])} if {
	input.checkpoint == "tool.call"
	not input.resource.id in data.tools
}

warn contains {"code": "tool.grave", "severity": "medium", "at": "/resource/id", "msg": "people look at this call first"} if {
	input.resource.id in data.grave
}
