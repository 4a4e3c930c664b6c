package vaultfile

import (
	"errors"
	"testing"
)

// TestPolicyIsReadWhole: a line means what it says to this kb, or the vault is
// not used. One that a newer kb wrote is named as such.
func TestPolicyIsReadWhole(t *testing.T) {
	read := func(rule string) (Contents, error) {
		c, err := decode([]record{{id: "policy/p1", typ: "policy", fields: []field{{"rule", []byte(rule)}}}})
		if err != nil {
			return Contents{}, err
		}
		return *c, nil
	}
	whole := `{"effect":"deny","git":"write","host":"h","methods":["GET"],"mint":true,"path":"/","profile":"work","provider":"p","repository":"r/x"}`
	c, err := read(whole)
	if err != nil {
		t.Fatal(err)
	}
	p := c.Policies[0]
	if p.Git != "write" || !p.Mint || p.Repository != "r/x" || string(encodePolicy(&p)[0].raw) != whole {
		t.Errorf("%+v, written again as %s", p, encodePolicy(&p)[0].raw)
	}
	for rule, newer := range map[string]bool{
		`{"effect":"throttle","profile":"work"}`:                 true,
		`{"effect":"deny","git":"gc","profile":"work"}`:          true,
		`{"effect":"deny","hour":9,"profile":"work"}`:            true,
		`{"profile":"work"}`:                                     true, // no effect
		`{"effect":"deny"}`:                                      false,
		`{"effect":"limit","profile":"work"}`:                    false,
		`{"effect":"deny","per_minute":3,"profile":"work"}`:      false,
		`{"effect":"limit","per_minute":-3,"profile":"work"}`:    false,
		`{"effect":"deny","mint":false,"profile":"work"}`:        false,
		`{"effect":"deny","methods":"GET","profile":"work"}`:     false,
		`{"effect":"deny","profile":"work","repository":""}`:     false,
		`{"effect":"limit","per_minute":1,"profile":"","git":1}`: false,
	} {
		_, err := read(rule)
		var v *NewerVersionError
		if errors.As(err, &v) != newer || !newer && !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", rule, err)
		}
	}
}

func TestPutPolicyRefuses(t *testing.T) {
	tx := &Tx{p: &payload{}, index: map[string]int{}}
	good := Policy{Profile: "work", Effect: "deny"}
	if _, err := tx.PutPolicy(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Policy){
		"effect":            func(p *Policy) { p.Effect = "throttle" },
		"no profile":        func(p *Policy) { p.Profile = "" },
		"git":               func(p *Policy) { p.Git = "gc" },
		"limit, no number":  func(p *Policy) { p.Effect = "limit" },
		"a number, no need": func(p *Policy) { p.PerMinute = 2 },
		"empty method":      func(p *Policy) { p.Methods = []string{""} },
		"not UTF-8":         func(p *Policy) { p.Repository = "\xff" },
	} {
		p := good
		change(&p)
		if _, err := tx.PutPolicy(p); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
