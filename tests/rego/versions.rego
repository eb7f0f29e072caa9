package cases.versions

import rego.v1

# METADATA
# entrypoint: true
main := {"allow": allow, "deny": deny, "warn": warn}

warn := set()

default allow := false

allow if semver.compare(input.context.version, "1.4.0") >= 0

deny contains "no version" if not semver.is_valid(input.context.version)
