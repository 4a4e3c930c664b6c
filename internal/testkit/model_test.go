package testkit

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// timeForHandshake is how long a failed handshake may take to reach the log.
const timeForHandshake = 5 * time.Second

func post(t *testing.T, w *World, url, key, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	res, err := w.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// Each stand-in tells an agent to run the command, takes its output, ends with
// the last words, and lets in nobody without the key.
func TestModelsLeadAnAgentThroughTwoTurns(t *testing.T) {
	model := Model{Command: "echo hi", Last: "good bye"}
	anthropic := &Anthropic{Key: "k", Model: Model{Command: model.Command, Last: model.Last}}
	openai := &OpenAI{Key: "k", Model: Model{Command: model.Command, Last: model.Last}}
	w := New(t)
	w.Serve("api.anthropic.com", OriginConfig{Handler: anthropic})
	w.Serve("api.openai.com", OriginConfig{Handler: openai, HTTP1: true})
	const bash = `"tools":[{"name":"Bash"}]`
	const shell = `"tools":[{"type":"function","name":"shell","parameters":{"properties":{"command":{"type":"array"}}}}]`
	const codeMode = `{"type":"additional_tools","tools":[{"type":"namespace","tools":[{"type":"custom","name":"exec","description":"tools.exec_command"}]}]}`
	for _, c := range []struct{ name, url, body, want string }{
		{"claude, whole", "https://api.anthropic.com/v1/messages", `{"messages":[{"role":"user","content":"go"}],` + bash + `}`, `"command": "echo hi"`},
		{"claude, streamed", "https://api.anthropic.com/v1/messages", `{"stream":true,"messages":[{"role":"user","content":"go"}],` + bash + `}`, `\"command\":\"echo hi\"`},
		{"claude, second turn", "https://api.anthropic.com/v1/messages", `{"stream":true,"messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"text","text":"hi there"}]}]}],` + bash + `}`, `"text":"good bye"`},
		{"claude, side question", "https://api.anthropic.com/v1/messages", `{"messages":[{"role":"user","content":"title?"}]}`, `"text": "ok"`},
		{"gpt, whole", "https://api.openai.com/v1/responses", `{"input":"go",` + shell + `}`, `"arguments": "{\"command\":[\"bash\",\"-lc\",\"echo hi\"]}"`},
		{"gpt, streamed", "https://api.openai.com/v1/responses", `{"stream":true,"input":[` + codeMode + `]}`, `tools.exec_command({cmd: \"echo hi\"})`},
		{"gpt, second turn", "https://api.openai.com/v1/responses", `{"input":[{"type":"function_call_output","output":"hi there"}],` + shell + `}`, `"text": "good bye"`},
	} {
		if status, got := post(t, w, c.url, "k", c.body); status != 200 || !strings.Contains(got, c.want) {
			t.Errorf("%s: %d %s\nwant %s", c.name, status, got, c.want)
		}
		if status, _ := post(t, w, c.url, "other", c.body); status != 401 {
			t.Errorf("%s with another key: %d, want 401", c.name, status)
		}
	}
	for name, m := range map[string]*Model{"claude": &anthropic.Model, "gpt": &openai.Model} {
		outputs := 0
		for _, turn := range m.Turns() {
			if turn.ToolOutput == "hi there" && turn.Answer == "last words" && turn.Credential == "k" {
				outputs++
			}
		}
		if outputs != 1 {
			t.Errorf("%s: turns %+v", name, m.Turns())
		}
	}
}

// Over WebSocket the same events come as messages, and a warm-up gets an empty
// answer.
func TestOpenAISpeaksWebSocket(t *testing.T) {
	o := &OpenAI{Model: Model{Command: "id", Last: "good bye"}}
	w := New(t)
	w.Serve("api.openai.com", OriginConfig{Handler: o, HTTP1: true})
	c, _, err := websocket.Dial(t.Context(), "wss://api.openai.com/v1/responses", &websocket.DialOptions{
		HTTPClient: w.Client(), HTTPHeader: http.Header{"Authorization": {"Bearer x"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseNow() }()
	ask := func(message string) (kinds []string, text string) {
		t.Helper()
		if err := c.Write(t.Context(), websocket.MessageText, []byte(message)); err != nil {
			t.Fatal(err)
		}
		for {
			_, b, err := c.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var e struct{ Type string }
			if err := json.Unmarshal(b, &e); err != nil {
				t.Fatal(err)
			}
			kinds, text = append(kinds, e.Type), text+string(b)
			if e.Type == "response.completed" {
				return kinds, text
			}
		}
	}
	if kinds, _ := ask(`{"type":"response.create","generate":false,"input":[]}`); len(kinds) != 2 {
		t.Errorf("warm-up: %v", kinds)
	}
	if kinds, text := ask(`{"type":"response.create","input":[{"type":"custom_tool_call_output","output":"out"}]}`); len(kinds) != 4 || !strings.Contains(text, "good bye") {
		t.Errorf("second turn: %v %s", kinds, text)
	}
	if turns := o.Turns(); len(turns) != 1 || turns[0].Transport != "WebSocket" || turns[0].ToolOutput != "out" {
		t.Errorf("turns: %+v", turns)
	}
}
