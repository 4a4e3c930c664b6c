// Command releasecheck reads goreleaser.yaml with goreleaser's own strict
// parser, offline, and checks what the parser cannot know: that the files and
// packages it names exist, that the version lands in a variable of the program,
// and that nothing is published.
//
//	go -C tools/releasecheck run . ../..
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goreleaser/goreleaser/v2/pkg/config"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: releasecheck REPOSITORY")
		os.Exit(2)
	}
	if err := check(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("goreleaser.yaml: ok")
}

func check(repository string) error {
	project, err := config.Load(filepath.Join(repository, "goreleaser.yaml"))
	if err != nil {
		return fmt.Errorf("read goreleaser.yaml: %w", err)
	}
	var errs []error
	complain := func(format string, a ...any) { errs = append(errs, fmt.Errorf("goreleaser.yaml: "+format, a...)) }
	if len(project.Builds) != 1 {
		complain("%d builds, want one", len(project.Builds))
	}
	for _, b := range project.Builds {
		if !slices.Equal(b.Goos, []string{"linux", "darwin"}) || !slices.Equal(b.Goarch, []string{"amd64", "arm64"}) {
			complain("builds for %v on %v", b.Goos, b.Goarch)
		}
		if !slices.Contains(b.Env, "CGO_ENABLED=0") || !slices.Contains(b.Flags, "-trimpath") {
			complain("build %q needs CGO_ENABLED=0 and -trimpath", b.ID)
		}
		if err := versionVariable(filepath.Join(repository, b.Main), b.Ldflags); err != nil {
			errs = append(errs, err)
		}
	}
	for _, a := range project.Archives {
		for _, f := range a.Files {
			if found, err := filepath.Glob(filepath.Join(repository, f.Source)); err != nil || len(found) == 0 {
				complain("archive file %q is not there", f.Source)
			}
		}
	}
	for _, n := range project.NFPMs {
		for _, c := range n.Contents {
			if _, err := os.Stat(filepath.Join(repository, c.Source)); err != nil {
				complain("package file %q is not there", c.Source)
			}
		}
	}
	if project.Release.Disable != "true" {
		complain("it would publish a release")
	}
	return errors.Join(errs...)
}

// versionVariable checks that -X names a string variable of package main: the
// linker ignores one that is not there.
func versionVariable(dir string, ldflags []string) error {
	m := regexp.MustCompile(`-X main\.(\w+)=\{\{ \.Version \}\}`).FindStringSubmatch(strings.Join(ldflags, " "))
	if m == nil {
		return errors.New("goreleaser.yaml: ldflags set no version")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return err
	}
	declaration := regexp.MustCompile(`(?m)^\s*(var )?` + m[1] + `\s*(string)?\s*= "`)
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if declaration.Match(text) {
			return nil
		}
	}
	return fmt.Errorf("goreleaser.yaml: package main has no variable %q", m[1])
}
