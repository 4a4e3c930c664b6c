package main

import (
	"bytes"
	"os"
	"testing"
)

// Whoever changes a definition also runs go generate ./providers.
func TestOutputsAreFresh(t *testing.T) {
	t.Chdir("..")
	for path, want := range outputs("catalog") {
		got, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is stale: run go generate ./providers", path)
		}
	}
}
