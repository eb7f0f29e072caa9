package cases.merged

import rego.v1

# METADATA
# entrypoint: true
main := {"allow": allow, "deny": deny, "warn": warn}

default allow := true

settings := object.union(data.settings, object.get(input, ["context", "settings"], {}))

warn contains {"msg": "settings", "details": settings}

deny contains "weakened" if settings.level < data.settings.level
