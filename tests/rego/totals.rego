package cases.totals

import rego.v1

# METADATA
# entrypoint: true
main := {"allow": allow, "deny": deny, "warn": warn}

default allow := false

total := sum([cost | some item in input.items; cost := item.price * item.count])

allow if total < 1000

warn contains {"msg": "total", "details": total}

deny contains "no items" if count(input.items) == 0
