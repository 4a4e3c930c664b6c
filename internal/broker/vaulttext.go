package broker

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"kb/internal/plain"
	"kb/profile"
	"kb/vaultfile"
)

// VaultText is the part of a vault that has no secret in it, as text that a
// person can edit: profiles, rules and the default profile. Logins and
// definitions stand in it as comments: a login's secrets and the host that they
// are for are one thing, which kb login changes.
type VaultText struct {
	vault *vault
	shown vaultfile.Contents
}

// Text is the selected vault's.
func (b *Broker) Text() *VaultText { return &VaultText{b.selected, b.Contents()} }

// document is the text, decoded.
type document struct {
	DefaultProfile string                 `toml:"default_profile"`
	Profiles       map[string]profileText `toml:"profile"`
	Rules          []ruleText             `toml:"rule"`
}

type profileText struct {
	GitName    string            `toml:"git_name"`
	GitEmail   string            `toml:"git_email"`
	SigningKey string            `toml:"signing_key"`
	Also       []string          `toml:"also"`
	Egress     string            `toml:"egress"`
	Expect     map[string]string `toml:"expect"`
}

type ruleText struct {
	ID      string `toml:"id"`
	Profile string `toml:"profile"`
	Remote  string `toml:"remote"`
	Dir     string `toml:"dir"`
	User    string `toml:"user"`
	Machine string `toml:"machine"`
	Agent   string `toml:"agent"`
}

const textHead = `# Vault %s, without its secrets. Save this and leave the editor: kb shows what
# changed and asks before it writes. Left as it is, it changes nothing.

`

// Bytes is the text, in TOML.
func (t *VaultText) Bytes() []byte {
	w := &textWriter{}
	fmt.Fprintf(w, textHead, plain.Clean(t.vault.name))
	w.WriteString("# The profile where no rule matches; \"\" is none.\n")
	w.WriteString("default_profile = " + quoted(t.shown.Setting(vaultfile.SettingDefaultProfile)) + "\n\n")
	for _, p := range t.shown.Profiles {
		w.WriteString("[profile." + key(p.Name) + "]\n")
		w.text("git_name", p.GitName)
		w.text("git_email", p.GitEmail)
		w.text("signing_key", p.SigningKey)
		w.text("egress", p.Egress)
		if len(p.Also) > 0 {
			words := make([]string, len(p.Also))
			for i, name := range p.Also {
				words[i] = quoted(name)
			}
			w.WriteString("also = [" + strings.Join(words, ", ") + "]\n")
		}
		if len(p.Expect) > 0 {
			var pairs []string
			for _, provider := range slices.Sorted(maps.Keys(p.Expect)) {
				pairs = append(pairs, key(provider)+" = "+quoted(p.Expect[provider]))
			}
			w.WriteString("expect = { " + strings.Join(pairs, ", ") + " }\n")
		}
		w.WriteString("\n")
	}
	for _, r := range t.shown.Rules {
		w.WriteString("[[rule]]\n")
		for _, f := range [...][2]string{
			{"id", r.ID},
			{"profile", r.Profile},
			{"remote", r.Remote},
			{"dir", r.Dir},
			{"user", r.User},
			{"machine", r.Machine},
			{"agent", r.Agent},
		} {
			w.text(f[0], f[1])
		}
		w.WriteString("\n")
	}
	w.WriteString(textForms)
	if len(t.shown.Logins) > 0 {
		w.WriteString("\n# Logins, which kb login and kb logout change:\n")
	}
	for _, l := range t.shown.Logins {
		w.comment(describeLogin(l))
	}
	if len(t.shown.Policies) > 0 {
		w.WriteString("\n# Policy, which kb policy add and rm change:\n")
	}
	for _, p := range t.shown.Policies {
		w.comment(p.ID + " of " + p.Profile + ": " + PolicyWords(p))
	}
	if len(t.shown.Providers) > 0 {
		w.WriteString("\n# Definitions, which kb provider add and rm change:\n")
	}
	for _, p := range t.shown.Providers {
		w.comment(p.Name)
	}
	return w.Bytes()
}

const textForms = `# A profile's keys: git_name, git_email, signing_key, egress ("open", "listed"),
# also = ["NAME"], expect = { PROVIDER = "ACCOUNT" }. A rule's: profile, and at
# least one of remote, dir, user, machine, agent; a new one needs no id.
`

func describeLogin(l vaultfile.Login) string {
	text := l.Profile + " at " + l.Provider
	if l.As != "" {
		text += " (" + l.As + ")"
	}
	if l.Account != "" {
		text += " as " + l.Account
	}
	if l.Base != "" {
		text += ", " + l.Base
	}
	return text
}

// textWriter writes TOML.
type textWriter struct{ bytes.Buffer }

// text writes a key, unless its value is empty.
func (w *textWriter) text(name, value string) {
	if value != "" {
		w.WriteString(name + " = " + quoted(value) + "\n")
	}
}

func (w *textWriter) comment(text string) { w.WriteString("#   " + plain.Clean(text) + "\n") }

// quoted is a TOML basic string. What an editor would obey or not show is
// escaped (see plain.Unsafe): in a shared vault others wrote it.
func quoted(s string) string {
	out := []byte{'"'}
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			out = append(out, '\\', byte(r))
		case r > 0xffff && plain.Unsafe(r):
			out = fmt.Appendf(out, `\U%08X`, r)
		case plain.Unsafe(r):
			out = fmt.Appendf(out, `\u%04X`, r)
		default:
			out = fmt.Appendf(out, "%c", r)
		}
	}
	return string(append(out, '"'))
}

// key is a TOML key: bare where it can be.
func key(name string) string {
	bare := name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
	if bare {
		return name
	}
	return quoted(name)
}

// TextError says what is wrong with an edited text, a line for each.
type TextError struct{ Problems []TextProblem }

// TextProblem is one thing that is wrong with an edited text.
type TextProblem struct {
	Line    int // 0 where it is not on one line
	Message string
}

func (p TextProblem) String() string {
	if p.Line == 0 {
		return p.Message
	}
	return fmt.Sprintf("line %d: %s", p.Line, p.Message)
}

func (e *TextError) Error() string {
	more := ""
	if n := len(e.Problems) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more)", n)
	}
	return fmt.Sprintf("read edited vault: %s%s", e.Problems[0], more)
}

// maxText bounds an edited text, in bytes: 10,000 rules take some 2 MiB.
const maxText = 16 << 20

// Parse compares an edited text with what was shown. What is wrong with it is a
// *TextError.
func (t *VaultText) Parse(text []byte) (*VaultChange, error) {
	doc, problems := decodeText(text)
	if problems == nil {
		change := t.compare(doc)
		if problems = t.check(doc, change); problems == nil {
			return change, nil
		}
	}
	return nil, &TextError{problems}
}

// decodeText is strict. It takes an error's message and line and never its
// pretty form, which prints the text around it.
func decodeText(text []byte) (*document, []TextProblem) {
	if len(text) > maxText {
		return nil, []TextProblem{{0, fmt.Sprintf("it is longer than %d bytes", maxText)}}
	}
	doc := &document{}
	err := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(doc)
	if err == nil {
		return doc, nil
	}
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) {
		var problems []TextProblem
		for i := range unknown.Errors {
			line, _ := unknown.Errors[i].Position()
			problems = append(problems, TextProblem{line, fmt.Sprintf("unknown key %q", strings.Join(unknown.Errors[i].Key(), "."))})
		}
		return nil, problems
	}
	problem := TextProblem{}
	var syntax *toml.DecodeError
	if errors.As(err, &syntax) {
		problem.Line, _ = syntax.Position()
	}
	problem.Message, _, _ = strings.Cut(err.Error(), "\n")
	return nil, []TextProblem{problem}
}

// profiles are those of the text, by name.
func (d *document) profiles() []profile.Profile {
	var list []profile.Profile
	for _, name := range slices.Sorted(maps.Keys(d.Profiles)) {
		p := d.Profiles[name]
		list = append(list, profile.Profile{
			Name: name, GitName: p.GitName, GitEmail: p.GitEmail, SigningKey: p.SigningKey,
			Also: sortedSet(p.Also), Egress: p.Egress, Expect: p.Expect,
		})
	}
	return list
}

func sortedSet(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return slices.Compact(list)
}

// check holds what changed to the rules for it, and the names in it to what
// there is. What stayed as it was passes, whoever wrote it.
func (t *VaultText) check(doc *document, change *VaultChange) []TextProblem {
	var problems []TextProblem
	wrong := func(format string, args ...any) {
		problems = append(problems, TextProblem{0, fmt.Sprintf(format, args...)})
	}
	known := func(name string) bool { _, ok := doc.Profiles[name]; return ok }
	for _, c := range change.profiles {
		if c.new == nil {
			for _, l := range t.shown.Logins {
				if l.Profile == c.old.Name {
					wrong("profile %q has a login at %s: kb profile rm %s removes both", c.old.Name, l.Provider, c.old.Name)
					break
				}
			}
			continue
		}
		if err := profile.ValidateProfile(*c.new); err != nil {
			problems = append(problems, TextProblem{0, err.Error()})
		}
	}
	for _, c := range change.rules {
		if c.new == nil {
			continue
		}
		if err := profile.ValidateRule(*c.new); err != nil {
			problems = append(problems, TextProblem{0, err.Error()})
		}
		for _, other := range doc.Rules {
			if other.Profile != c.new.Profile && profile.Rule(other).Conditions() == c.new.Conditions() {
				wrong("two rules give %s to different profiles: %q and %q", c.new.Conditions(), c.new.Profile, other.Profile)
			}
		}
	}
	seen := map[string]bool{}
	for _, r := range doc.Rules {
		if r.ID != "" && seen[r.ID] {
			wrong("two rules have the id %q", r.ID)
		}
		seen[r.ID] = true
		if r.ID != "" && !slices.ContainsFunc(t.shown.Rules, func(o profile.Rule) bool { return o.ID == r.ID }) {
			wrong("rule %q is new: leave its id out", r.ID)
		}
		if !known(r.Profile) && change.touches(r.Profile, r.ID) {
			wrong("rule %q names profile %q, which is not here", r.ID, r.Profile)
		}
	}
	for _, p := range doc.profiles() {
		for _, name := range p.Also {
			if !known(name) && (change.touches(name, "") || change.touches(p.Name, "")) {
				wrong("profile %q names profile %q in also, which is not here", p.Name, name)
			}
		}
	}
	if name := doc.DefaultProfile; name != "" && !known(name) && (change.setting != nil || change.touches(name, "")) {
		wrong("default_profile names profile %q, which is not here", name)
	}
	return problems
}

// ScratchDir makes a folder of kb's own for one file that a person edits, and
// returns what removes it with all that an editor left there.
func (b *Broker) ScratchDir() (dir string, remove func(), err error) {
	if err := makePrivateDir(b.paths.Runtime); err != nil {
		return "", nil, err
	}
	if dir, err = os.MkdirTemp(b.paths.Runtime, "edit-"); err != nil {
		return "", nil, fmt.Errorf("make folder for the text: %w", err)
	}
	return filepath.Clean(dir), func() { _ = os.RemoveAll(dir) }, nil
}
