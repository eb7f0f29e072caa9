package cases.patched

import rego.v1

# METADATA
# entrypoint: true
main := {"allow": allow, "deny": deny, "warn": warn}

default allow := true

warn contains {"msg": "patched", "details": json.patch(input.resource, [{"op": "add", "path": "/seen", "value": true}])}

warn contains {"msg": "filtered", "details": json.filter(input, ["subject/id", "resource/tags"])}

deny contains "tagged" if "secret" in input.resource.tags
