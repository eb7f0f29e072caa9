package cases.sets

import rego.v1

# METADATA
# entrypoint: true
main := {"allow": allow, "deny": deny, "warn": warn}

default allow := true

roles := {role | some role in input.subject.roles}

warn contains {"msg": "sets", "details": {"known": roles & {role | some role in data.known_roles}, "unknown": roles - object.keys(data.grants), "all": (roles | {"guest"})}}

deny contains "unknown role" if count(roles - object.keys(data.grants)) > 1
