package cases.patterns

import rego.v1

# METADATA
# entrypoint: true
main := {"allow": allow, "deny": deny, "warn": warn}

default allow := true

deny contains {"code": "mail", "msg": mail} if {
	some mail in regex.find_n(`[a-z]+@[a-z]+\.example`, input.text, -1)
}

deny contains "account" if regex.match(`\b[A-Z]{2}[0-9]{8}\b`, input.text)

warn contains {"msg": "masked", "details": regex.replace(input.text, `[0-9]`, "#")}
