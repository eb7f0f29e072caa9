package cases.units

import rego.v1

# METADATA
# entrypoint: true
main := {"allow": allow, "deny": deny, "warn": warn}

default allow := true

deny contains "too large" if units.parse_bytes(input.resource.size) > units.parse_bytes("64Mi")

warn contains {"msg": "bytes", "details": units.parse_bytes(input.resource.size)}
