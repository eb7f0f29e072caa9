package weir

import rego.v1

# METADATA
# entrypoint: true
default allow := false

allow if {
    some role in data.roles[input.user]
    some grant in data.grants[role]
    grant.action == input.action
    grant.type == input.type
}
