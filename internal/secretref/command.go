package secretref

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// A cmd: reference is split into words as a shell would, and run without one:
//
//	spaces and tabs stand between words
//	'…' is as it stands
//	"…" is too, but for \" and \\
//	\ before a character is that character
//
// What a shell would make something else of ($, `, |, >, *, ~ at a word's start
// and the like) is refused where it is not quoted, so that nobody is surprised by
// a literal one. In double quotes $ and ` are refused too.

// unquoted are characters that a shell does not take as they are.
const unquoted = "$`|&;<>()*?[]{}!#"

func checkCommand(p *reference) error {
	_, err := words(p.name)
	return err
}

// words splits a command.
func words(line string) ([]string, error) {
	var (
		out    []string
		word   strings.Builder
		inside bool // a word has begun
	)
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == ' ':
			if inside {
				out, inside = append(out, word.String()), false
				word.Reset()
			}
		case c == '\'':
			end := strings.IndexByte(line[i+1:], '\'')
			if end < 0 {
				return nil, errors.New("a quote is not closed")
			}
			word.WriteString(line[i+1 : i+1+end])
			inside, i = true, i+1+end
		case c == '"':
			n, err := doubleQuoted(&word, line[i+1:])
			if err != nil {
				return nil, err
			}
			inside, i = true, i+n
		case c == '\\':
			if i++; i == len(line) {
				return nil, errors.New("it ends with a backslash")
			}
			word.WriteByte(line[i])
			inside = true
		case strings.IndexByte(unquoted, c) >= 0 || c == '~' && !inside:
			return nil, fmt.Errorf("no shell reads it: quote the %c, or name a shell (cmd:sh -c '…')", c)
		default:
			word.WriteByte(c)
			inside = true
		}
	}
	if inside {
		out = append(out, word.String())
	}
	if len(out) == 0 || out[0] == "" {
		return nil, errors.New("it names no program")
	}
	return out, nil
}

// doubleQuoted reads up to the closing quote and returns how much it was.
func doubleQuoted(word *strings.Builder, rest string) (int, error) {
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '"':
			return i + 1, nil
		case c == '\\' && i+1 < len(rest) && (rest[i+1] == '"' || rest[i+1] == '\\'):
			i++
			word.WriteByte(rest[i])
		case c == '$' || c == '`':
			return 0, fmt.Errorf("no shell reads it: put the %c in single quotes, or name a shell (cmd:sh -c '…')", c)
		default:
			word.WriteByte(c)
		}
	}
	return 0, errors.New("a quote is not closed")
}

func sourceCommand(ctx context.Context, r *Resolver, p *reference) (Source, error) {
	argv, err := words(p.name)
	if err != nil {
		return Source{}, err
	}
	found, err := r.program(ctx, argv[0])
	if err != nil {
		return Source{}, err
	}
	sum, err := contentOf(found.Path)
	return Source{Path: found.Path, Runs: true, Sum: sum}, err
}

func fetchCommand(ctx context.Context, r *Resolver, p *reference, _ Source) ([]byte, error) {
	argv, err := words(p.name)
	if err != nil {
		return nil, err
	}
	return r.run(ctx, argv[0], argv[1:]...)
}
