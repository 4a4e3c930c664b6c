package testkit

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/coder/websocket"
)

// OpenAI stands in for api.openai.com: the Responses API as POST /v1/responses
// (whole or as server-sent events) and as a WebSocket at the same path, whose
// client sends {"type":"response.create",…} and is sent the same events
// (https://platform.openai.com/docs/api-reference/responses), and GET
// /v1/models. Other paths are 404.
type OpenAI struct {
	Model
	Key         string // the only key let in; "" lets any in
	NoWebSocket bool   // answer an upgrade with 404, as a gateway without it does
}

type openAIRequest struct {
	Type     string          `json:"type"` // of a WebSocket message
	Model    string          `json:"model"`
	Stream   bool            `json:"stream"`
	Generate *bool           `json:"generate"` // false asks for nothing but a warm connection
	Input    json.RawMessage `json:"input"`
	Tools    []openAITool    `json:"tools"`
}

// openAITool is a tool that the agent offers, or a namespace of tools.
type openAITool struct {
	Type        string       `json:"type"`
	Name        string       `json:"name"`
	Description string       `json:"description"`
	Tools       []openAITool `json:"tools"`
	Parameters  struct {
		Properties map[string]struct {
			Type string `json:"type"`
		} `json:"properties"`
	} `json:"parameters"`
}

// openAIItem is one item of a request's input: of all kinds, what this package
// asks of them.
type openAIItem struct {
	Type   string          `json:"type"`
	Output json.RawMessage `json:"output"` // of a tool's call
	Tools  []openAITool    `json:"tools"`  // of "additional_tools"
}

// ServeHTTP implements http.Handler.
func (o *OpenAI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	credential := Request{Header: r.Header}.Credential()
	if credential == "" || o.Key != "" && credential != o.Key {
		writeJSON(w, http.StatusUnauthorized, map[string]any{"error": map[string]any{
			"message": "Incorrect API key provided", "type": "invalid_request_error", "param": nil, "code": "invalid_api_key",
		}})
		return
	}
	upgrade := strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
	switch {
	case r.URL.Path == "/v1/models":
		writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": []any{}})
	case r.URL.Path != "/v1/responses", upgrade && o.NoWebSocket:
		writeJSON(w, http.StatusNotFound, map[string]any{"error": map[string]any{"message": "no such path", "type": "invalid_request_error"}})
	case upgrade:
		o.converse(w, r, credential)
	case r.Method == http.MethodPost:
		var req openAIRequest
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		items := o.answer(req, "POST", credential)
		if !req.Stream {
			writeJSON(w, http.StatusOK, response(req, items, "completed"))
			return
		}
		send := sse(w)
		events(req, items, func(event string, v map[string]any) bool { send(event, v); return true })
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func (o *OpenAI) converse(w http.ResponseWriter, r *http.Request, credential string) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	c.SetReadLimit(16 << 20)
	for {
		_, message, err := c.Read(r.Context())
		if err != nil {
			return
		}
		var req openAIRequest
		if json.Unmarshal(message, &req) != nil || req.Type != "response.create" {
			continue
		}
		events(req, o.answer(req, "WebSocket", credential), func(_ string, v map[string]any) bool {
			return writeMessage(r.Context(), c, v) == nil
		})
	}
}

func writeMessage(ctx context.Context, c *websocket.Conn, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.Write(ctx, websocket.MessageText, b)
}

// answer is the output of the model for req.
func (o *OpenAI) answer(req openAIRequest, transport, credential string) []any {
	if req.Generate != nil && !*req.Generate {
		return []any{}
	}
	turn := ModelTurn{Transport: transport, Credential: credential}
	var input []openAIItem
	_ = json.Unmarshal(req.Input, &input) // a plain string holds neither output nor tools
	tools := flat(req.Tools)
	for _, i := range input {
		tools = append(tools, flat(i.Tools)...)
		switch i.Type {
		case "function_call_output", "custom_tool_call_output", "local_shell_call_output":
			turn.ToolOutput += text(i.Output)
		}
	}
	for _, t := range tools {
		turn.Tools = append(turn.Tools, t.Name)
	}
	words := o.Last
	switch call, ok := shellCall(tools, o.Command); {
	case turn.ToolOutput == "" && ok && o.Command != "":
		turn.Answer = "command"
		o.note(turn)
		return []any{call}
	default:
		turn.Answer = "last words"
	}
	o.note(turn)
	return []any{map[string]any{
		"type": "message", "id": "msg_kb", "role": "assistant", "status": "completed",
		"content": []any{map[string]any{"type": "output_text", "text": words, "annotations": []any{}}},
	}}
}

// flat is tools with what their namespaces hold.
func flat(tools []openAITool) []openAITool {
	var out []openAITool
	for _, t := range tools {
		if t.Type == "namespace" {
			out = append(out, flat(t.Tools)...)
		} else {
			out = append(out, t)
		}
	}
	return out
}

// shellCall is a call of whichever tool runs a shell: agents name it and its
// argument differently from version to version. Codex with its newest models
// offers one tool that runs JavaScript, in which the shell is a function.
func shellCall(tools []openAITool, command string) (map[string]any, bool) {
	for _, t := range tools {
		if t.Type == "custom" && strings.Contains(t.Description, "tools.exec_command") {
			quoted, _ := json.Marshal(command) // a string always marshals
			return map[string]any{
				"type": "custom_tool_call", "id": "ctc_kb", "call_id": "call_kb", "name": t.Name, "status": "completed",
				"input": "const r = await tools.exec_command({cmd: " + string(quoted) + "});\ntext(r.output);\n",
			}, true
		}
		var arguments map[string]any
		for _, name := range []string{"cmd", "command"} {
			switch p, ok := t.Parameters.Properties[name]; {
			case ok && p.Type == "string":
				arguments = map[string]any{name: command}
			case ok && p.Type == "array":
				arguments = map[string]any{name: []string{"bash", "-lc", command}}
			}
		}
		if t.Type != "function" || arguments == nil {
			continue
		}
		b, _ := json.Marshal(arguments) // strings always marshal
		return map[string]any{
			"type": "function_call", "id": "fc_kb", "call_id": "call_kb", "name": t.Name,
			"arguments": string(b), "status": "completed",
		}, true
	}
	return nil, false
}

func response(req openAIRequest, items []any, status string) map[string]any {
	return map[string]any{
		"id": "resp_kb", "object": "response", "created_at": 1700000000, "status": status, "model": req.Model,
		"output": items, "parallel_tool_calls": false, "tools": []any{}, "error": nil,
		"usage": map[string]any{
			"input_tokens": 10, "input_tokens_details": map[string]int{"cached_tokens": 0},
			"output_tokens": 5, "output_tokens_details": map[string]int{"reasoning_tokens": 0}, "total_tokens": 15,
		},
	}
}

func events(req openAIRequest, items []any, send func(string, map[string]any) bool) {
	n := 0
	emit := func(event string, v map[string]any) bool {
		v["type"], v["sequence_number"] = event, n
		n++
		return send(event, v)
	}
	if !emit("response.created", map[string]any{"response": response(req, []any{}, "in_progress")}) {
		return
	}
	for i, item := range items {
		if !emit("response.output_item.added", map[string]any{"output_index": i, "item": item}) ||
			!emit("response.output_item.done", map[string]any{"output_index": i, "item": item}) {
			return
		}
	}
	emit("response.completed", map[string]any{"response": response(req, items, "completed")})
}
