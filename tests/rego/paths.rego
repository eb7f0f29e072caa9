package cases.paths

import rego.v1

# METADATA
# entrypoint: true
main := {"allow": allow, "deny": deny, "warn": warn}

warn := set()

default allow := false

allow if glob.match("docs/**", ["/"], input.resource.id)

allow if glob.match("*/public/*", ["/"], input.resource.id)

deny contains "hidden" if startswith(input.resource.id, ".")
