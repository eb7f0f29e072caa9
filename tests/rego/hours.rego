package cases.hours

import rego.v1

# METADATA
# entrypoint: true
main := {"allow": allow, "deny": deny, "warn": warn}

deny := set()

default allow := false

at := time.parse_rfc3339_ns(input.context.time)

clock := time.clock([at, "Europe/Berlin"])

allow if {
	clock[0] >= 8
	clock[0] < 18
	not time.weekday(at) in {"Saturday", "Sunday"}
}

warn contains {"msg": "clock", "details": clock}
