package cases.networks

import rego.v1

# METADATA
# entrypoint: true
main := {"allow": allow, "deny": deny, "warn": warn}

deny := set()

default allow := false

allow if {
	some network in data.networks
	net.cidr_contains(network, input.context.ip)
}

warn contains {"msg": "networks", "details": [network | some network in data.networks; net.cidr_contains(network, input.context.ip)]}
