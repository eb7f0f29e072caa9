package weir

import rego.v1

# METADATA
# entrypoint: true
default allow := false

allow if {
    input.tenant in rule.tenants
    input.resource.id in rule.grants[input.subject.id]
    input.payload.amount <= rule.most
    not steered
}

steered if {
    some part in input.content
    some word in rule.words
    contains(part.text, word)
}
