package tui

import "testing"

func TestShortIn(t *testing.T) {
	t.Parallel()
	s := &shared{home: "/home/me"}
	for text, want := range map[string]string{
		"":                                    "",
		"/home/me/.config/kb/vault.age opens": "~/.config/kb/vault.age opens",
		"sh in /home/me/app":                  "sh in ~/app",
		"sh in /home/men/app":                 "sh in /home/men/app",
		"GET api.acme.example/home/me/notes":  "GET api.acme.example/home/me/notes",
		"sh in /mnt/home/me/app":              "sh in /mnt/home/me/app",
	} {
		if got := s.shortIn(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	if got := (&shared{}).shortIn("sh in /app"); got != "sh in /app" {
		t.Errorf("without a home: %q", got)
	}
}
