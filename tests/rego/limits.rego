package cases.limits

import rego.v1

# METADATA
# entrypoint: true
main := {"allow": allow, "deny": deny, "warn": warn}

default allow := true

deny contains sprintf("%v is more than %d", [input.amount, data.most[input.action]]) if input.amount > data.most[input.action]

warn contains {"msg": "amount", "details": {"rounded": round(input.amount), "half": input.amount / 2}} if input.amount
