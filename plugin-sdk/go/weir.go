// Package weir makes a Weir policy of a function from a configuration and a request to a verdict.
//
//	type Config struct{ Words []string }
//
//	func judge(config Config, request *weir.Request, verdict *weir.Verdict) error { … }
//
//	func init() { weir.Policy(judge) }
//	func main() {}
//
// An error means "cannot judge", which counts as deny unless the operator wrote something else, as a panic does. The clock is
// the time of the request, random numbers follow from its id, and what is printed goes to the host's log.
package weir

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unsafe"
)

// Request is what a policy is asked. What the manifest's reads leave out is empty.
type Request struct {
	ID         string          `json:"id"`
	Checkpoint string          `json:"checkpoint"`
	Tenant     string          `json:"tenant"`
	System     string          `json:"system"`
	Time       string          `json:"time"` // RFC 3339 in UTC
	Subject    Entity          `json:"subject"`
	Action     Action          `json:"action"`
	Resource   Entity          `json:"resource"`
	Context    json.RawMessage `json:"context"`
	Content    []Part          `json:"content"`
	Measures   []Measure       `json:"measures"`
	Payload    json.RawMessage `json:"payload"` // as the caller wrote it
}

// Entity is a subject or a resource.
type Entity struct {
	Type       string          `json:"type"`
	ID         string          `json:"id"`
	Properties json.RawMessage `json:"properties"`
}

// Action is what is done to the resource.
type Action struct {
	Name       string          `json:"name"`
	Properties json.RawMessage `json:"properties"`
}

// Part is one text of a conversation or document; Origin is system, user, model, tool or retrieved.
type Part struct {
	Role   string `json:"role"`
	Origin string `json:"origin"`
	Text   string `json:"text"`
}

// Measure is one number about one group.
type Measure struct {
	Name  string  `json:"name"`
	Group string  `json:"group"`
	Value float64 `json:"value"`
	Count uint64  `json:"count"`
}

// Verdict is what a policy answers: allow, unless something else is said.
type Verdict struct {
	Effect      string             `json:"effect"`
	Findings    []Finding          `json:"findings,omitempty"`
	Edits       []Edit             `json:"edits,omitempty"`
	Scores      map[string]float64 `json:"scores,omitempty"` // named risks from 0 to 1, where higher is worse
	Obligations []Obligation       `json:"obligations,omitempty"`
}

// Finding is a coded reason; Severity is info, low, medium, high or critical. Start and End are bytes of the text at At.
type Finding struct {
	Code     string   `json:"code"`
	Severity string   `json:"severity"`
	Message  string   `json:"message"`
	At       string   `json:"at,omitempty"`
	Start    *int     `json:"start,omitempty"`
	End      *int     `json:"end,omitempty"`
	Because  []string `json:"because,omitempty"`
}

// Edit replaces a span of the text at a JSON pointer.
type Edit struct {
	At          string `json:"at"`
	Start       int    `json:"start"`
	End         int    `json:"end"`
	Replacement string `json:"replacement"`
}

// Obligation is a duty of the caller.
type Obligation struct {
	Name string `json:"name"`
}

// Deny says that the step may not happen.
func (verdict *Verdict) Deny() { verdict.Effect = "deny" }

// Review says that people must look first. It never loosens what was said before.
func (verdict *Verdict) Review() {
	if verdict.Effect == "allow" {
		verdict.Effect = "review"
	}
}

// Find adds a reason with its place in the text at a JSON pointer.
func (verdict *Verdict) Find(code, severity, message, at string, start, end int) {
	finding := Finding{Code: code, Severity: severity, Message: message, At: at, Start: &start, End: &end}
	verdict.Findings = append(verdict.Findings, finding)
}

// Edit adds a replacement in the text at a JSON pointer.
func (verdict *Verdict) Edit(at string, start, end int, replacement string) {
	verdict.Edits = append(verdict.Edits, Edit{at, start, end, replacement})
}

// Kept by these variables, so that the garbage collector leaves them where the host has been told they are.
var (
	input, output []byte
	configure     func([]byte) error
	evaluate      func(*Request, *Verdict) error
	refused       error
)

// Policy makes the module's policy of a function. Call it once, in an init function.
func Policy[Config any](judge func(Config, *Request, *Verdict) error) {
	var config Config
	configure = func(text []byte) error {
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.DisallowUnknownFields()
		return decoder.Decode(&config)
	}
	evaluate = func(request *Request, verdict *Verdict) error { return judge(config, request, verdict) }
}

//go:wasmexport weir_abi_1
func abi() {}

//go:wasmexport weir_alloc
func alloc(length int32) uint32 {
	input = make([]byte, uint32(length)+1)
	return uint32(uintptr(unsafe.Pointer(&input[0])))
}

//go:wasmexport weir_configure
func configured(_, length int32) int64 {
	refused = configure(input[:uint32(length)])
	if refused == nil {
		return 0
	}
	return place([]byte(refused.Error()))
}

//go:wasmexport weir_evaluate
func evaluated(_, length int32) int64 {
	verdict := Verdict{Effect: "allow"}
	err := refused
	if err == nil {
		err = judged(input[:uint32(length)], &verdict)
	}
	var answer any = verdict
	if err != nil {
		answer = map[string]string{"error": err.Error()}
	}
	text, err := json.Marshal(answer)
	if err != nil {
		text, _ = json.Marshal(map[string]string{"error": err.Error()})
	}
	return place(text)
}

func judged(text []byte, verdict *Verdict) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("panic: %v", cause)
		}
	}()
	var request Request
	if err := json.Unmarshal(text, &request); err != nil {
		return err
	}
	return evaluate(&request, verdict)
}

func place(text []byte) int64 {
	output = append(text, 0)
	return int64(uint32(uintptr(unsafe.Pointer(&output[0]))))<<32 | int64(len(text))
}
