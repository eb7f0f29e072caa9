// Finds the words of its configuration in the texts of a request, and masks them or refuses the request.
package main

import (
	"fmt"
	"strings"

	"word-list/sdk"
)

// Config is what an operator may set.
type Config struct {
	Words  []string `json:"words"`
	Action string   `json:"action"`
}

func judge(config Config, request *weir.Request, verdict *weir.Verdict) error {
	for index, part := range request.Content {
		at := fmt.Sprintf("/content/%d/text", index)
		for _, word := range config.Words {
			look(config, part.Text, word, at, verdict)
		}
	}
	return nil
}

func look(config Config, text, word, at string, verdict *weir.Verdict) {
	for from := 0; ; {
		found := strings.Index(text[from:], word)
		if found < 0 {
			return
		}
		start, end := from+found, from+found+len(word)
		verdict.Find("words.found", "high", "a forbidden word", at, start, end)
		if config.Action == "deny" {
			verdict.Deny()
		} else {
			verdict.Edit(at, start, end, "***")
		}
		from = end
	}
}

func init() { weir.Policy(judge) }

func main() {}
