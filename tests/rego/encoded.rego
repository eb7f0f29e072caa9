package cases.encoded

import rego.v1

# METADATA
# entrypoint: true
main := {"allow": allow, "deny": deny, "warn": warn}

default allow := true

warn contains {"msg": "encoded", "details": {
	"base64": base64.encode(input.text),
	"hex": hex.encode(input.text),
	"url": urlquery.encode(input.text),
	"json": json.unmarshal(json.marshal(input.items)),
	"sha256": crypto.sha256(input.text),
}}

deny contains "empty" if trim_space(input.text) == ""
