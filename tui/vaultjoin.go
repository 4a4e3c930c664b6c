package tui

import (
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"kb/tui/draw"
)

// joinForm asks for the request that another machine printed.
func (s *vaultScreen) joinForm() dialog {
	return newForm(form{
		shared: s.shared, about: "Approve a device", does: "read it",
		note:   "On the new machine run kb device join, and paste the request that it prints.",
		fields: []formField{{name: "request", label: "request", need: true, help: "a line that begins with kb-join-1:"}},
		act:    func(v values) tea.Cmd { return s.readJoin(v.text("request")) },
	})
}

// joinRead is a join request as it was read.
type joinRead struct {
	question uint64
	request  string
	from     JoinRequest
	err      error
}

func (s *vaultScreen) readJoin(request string) tea.Cmd {
	s.question++
	question, ctx, backend := s.question, s.ctx, s.backend
	return func() tea.Msg {
		from, err := backend.ReadJoin(ctx, request)
		return joinRead{question, request, from, err}
	}
}

// joined is a device that was let in, with the words that it asks for.
type joined struct{ device, words string }

func (s *vaultScreen) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case joinRead:
		switch {
		case msg.question != s.question:
		case msg.err != nil:
			return say(done{what: "approve device", err: msg.err, told: true})
		default:
			return s.compare(msg)
		}
	case joined:
		return tea.Batch(
			open(&sixWords{shared: s.shared, device: msg.device, words: msg.words}),
			say(done{note: msg.device + " is in the vault: S here, git pull there, and kb device join there again"}),
		)
	}
	return nil
}

// compare shows the request's fingerprint, which a person compares with the new
// machine's screen.
func (s *vaultScreen) compare(r joinRead) tea.Cmd {
	return openReading(s.shared, "Does the new machine show the same?", "it shows the same: let it in", func(w int) []string {
		lines := s.facts(w, fact{name: "device", text: r.from.Device}, fact{name: "fingerprint", text: r.from.Fingerprint, role: draw.Accent})
		lines = append(lines, "")
		for _, line := range draw.Wrap("Whoever swapped the request on its way cannot make that machine show these words. If they differ, leave it: it gets all secrets of the vault.", w) {
			lines = append(lines, s.theme.Fit(line, w))
		}
		return lines
	}, func() tea.Cmd {
		ctx, backend := s.ctx, s.backend
		return func() tea.Msg {
			words, err := backend.ApproveDevice(ctx, r.request)
			if err != nil {
				return done{what: "approve device " + r.from.Device, err: err}
			}
			return joined{r.from.Device, words}
		}
	})
}

// sixWords shows the words that a new device asks for. It stays until esc: they are
// shown once.
type sixWords struct {
	*shared
	device, words string
}

func (d *sixWords) title() string { return "Six words for " + draw.Clean(d.device) }
func (d *sixWords) bar() string   { return "esc they are typed there" }

func (d *sixWords) update(msg tea.Msg) (tea.Cmd, bool) {
	key, ok := msg.(tea.KeyMsg)
	return nil, ok && key.Type == tea.KeyEsc
}

func (d *sixWords) view(w, _ int) []string {
	lines := []string{""}
	for _, line := range draw.Wrap(draw.Clean(strings.TrimSpace(d.words)), max(1, w-4)) {
		lines = append(lines, d.theme.Paint(draw.Accent, d.theme.Fit("  "+line, w)))
	}
	lines = append(lines, "")
	for _, line := range draw.Wrap("The new machine asks for them: by them it knows that the vault it gets is yours. Say them by a way that you trust, and not with the vault. They are shown once.", w) {
		lines = append(lines, d.theme.Fit(line, w))
	}
	return lines
}
