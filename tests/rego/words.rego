package cases.words

import rego.v1

# METADATA
# entrypoint: true
main := {"allow": allow, "deny": deny, "warn": warn}

default allow := true

words := split(lower(input.text), " ")

deny contains word if {
	some word in words
	word in data.words
}

warn contains {"msg": "longest", "details": max([count(word) | some word in words])}
