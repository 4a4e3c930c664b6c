package testkit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
)

// Model is what the stand-ins of language models share: an agent that asks one
// is told to run a shell command, and when it comes back with the output, that
// is the end of its task.
type Model struct {
	Command string // for the agent's shell, in the first turn
	Last    string // the model's last words, in the second

	mu    sync.Mutex
	turns []ModelTurn
}

// ModelTurn is one question that arrived.
type ModelTurn struct {
	Transport  string   // "POST" or "WebSocket"
	Credential string   // as Request.Credential has it
	Tools      []string // the tools that the agent offers
	ToolOutput string   // what the agent's shell printed; "" before it ran
	Answer     string   // "command", "last words" or "" for side questions
}

// Turns is every question so far, in order.
func (m *Model) Turns() []ModelTurn {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.turns)
}

func (m *Model) note(t ModelTurn) {
	m.mu.Lock()
	m.turns = append(m.turns, t)
	m.mu.Unlock()
}

// sse starts a stream of server-sent events and returns what sends one.
func sse(w http.ResponseWriter) func(event string, v any) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	rc := http.NewResponseController(w)
	return func(event string, v any) {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		_, _ = fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, b)
		_ = rc.Flush()
	}
}

// text is the text in a JSON value that may be a string or a list of parts.
func text(v json.RawMessage) string {
	var s string
	if json.Unmarshal(v, &s) == nil {
		return s
	}
	var parts []struct {
		Text string `json:"text"`
	}
	if json.Unmarshal(v, &parts) != nil {
		return string(v)
	}
	var all bytes.Buffer
	for _, p := range parts {
		all.WriteString(p.Text)
	}
	return all.String()
}
