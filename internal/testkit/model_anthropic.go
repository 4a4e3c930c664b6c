package testkit

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// Anthropic stands in for api.anthropic.com: POST /v1/messages, streamed or
// whole (https://docs.anthropic.com/en/api/messages-streaming). Other paths
// are 404.
type Anthropic struct {
	Model
	Key string // the only key let in, as x-api-key or Bearer; "" lets any in
}

type anthropicRequest struct {
	Model    string `json:"model"`
	Stream   bool   `json:"stream"`
	Messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
	Tools []struct {
		Name string `json:"name"`
	} `json:"tools"`
}

// ServeHTTP implements http.Handler.
func (a *Anthropic) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	turn := ModelTurn{Transport: r.Method, Credential: Request{Header: r.Header}.Credential()}
	if turn.Credential == "" || a.Key != "" && turn.Credential != a.Key {
		a.fail(w, http.StatusUnauthorized, "authentication_error", "invalid x-api-key")
		return
	}
	switch {
	case r.URL.Path == "/v1/messages/count_tokens":
		writeJSON(w, http.StatusOK, map[string]any{"input_tokens": 10})
		return
	case r.URL.Path != "/v1/messages" || r.Method != http.MethodPost:
		a.fail(w, http.StatusNotFound, "not_found_error", "no such path")
		return
	}
	var req anthropicRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		a.fail(w, http.StatusBadRequest, "invalid_request_error", err.Error())
		return
	}
	for _, t := range req.Tools {
		turn.Tools = append(turn.Tools, t.Name)
	}
	for _, m := range req.Messages {
		var parts []struct {
			Type    string          `json:"type"`
			Content json.RawMessage `json:"content"`
		}
		_ = json.Unmarshal(m.Content, &parts) // a plain string holds no result
		for _, p := range parts {
			if p.Type == "tool_result" {
				turn.ToolOutput = text(p.Content)
			}
		}
	}
	block := map[string]any{"type": "text", "text": "ok"}
	stop := "end_turn"
	switch {
	case turn.ToolOutput != "":
		turn.Answer, block["text"] = "last words", a.Last
	case slices.Contains(turn.Tools, "Bash") && a.Command != "":
		turn.Answer, stop = "command", "tool_use"
		block = map[string]any{
			"type": "tool_use", "id": "toolu_01kb", "name": "Bash",
			"input": map[string]string{"command": a.Command, "description": "Run the task"},
		}
	case len(turn.Tools) == 0 && a.Command == "":
		turn.Answer, block["text"] = "last words", a.Last
	}
	a.note(turn)
	a.answer(w, req, block, stop)
}

func (a *Anthropic) answer(w http.ResponseWriter, req anthropicRequest, block map[string]any, stop string) {
	message := map[string]any{
		"id": "msg_01kb", "type": "message", "role": "assistant", "model": req.Model, "content": []any{block},
		"stop_reason": stop, "stop_sequence": nil, "usage": map[string]int{"input_tokens": 10, "output_tokens": 5},
	}
	if !req.Stream {
		writeJSON(w, http.StatusOK, message)
		return
	}
	send := sse(w)
	message["content"], message["stop_reason"] = []any{}, nil
	send("message_start", map[string]any{"type": "message_start", "message": message})
	start, delta := map[string]any{"type": "text", "text": ""}, map[string]any{"type": "text_delta", "text": block["text"]}
	if block["type"] == "tool_use" {
		input, _ := json.Marshal(block["input"]) // strings always marshal
		start = map[string]any{"type": "tool_use", "id": block["id"], "name": block["name"], "input": map[string]any{}}
		delta = map[string]any{"type": "input_json_delta", "partial_json": string(input)}
	}
	send("content_block_start", map[string]any{"type": "content_block_start", "index": 0, "content_block": start})
	send("content_block_delta", map[string]any{"type": "content_block_delta", "index": 0, "delta": delta})
	send("content_block_stop", map[string]any{"type": "content_block_stop", "index": 0})
	send("message_delta", map[string]any{
		"type": "message_delta", "delta": map[string]any{"stop_reason": stop, "stop_sequence": nil},
		"usage": map[string]int{"output_tokens": 5},
	})
	send("message_stop", map[string]any{"type": "message_stop"})
}

func (a *Anthropic) fail(w http.ResponseWriter, status int, kind, message string) {
	w.Header().Set("Request-Id", strings.Repeat("0", 16))
	writeJSON(w, status, map[string]any{"type": "error", "error": map[string]string{"type": kind, "message": message}})
}
