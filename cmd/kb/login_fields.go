package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/plain"
	"kb/internal/secret"
	"kb/internal/term"
	"kb/providers"
	"kb/vaultfile"
)

// maxSecretInput bounds what --stdin reads: 64 KiB holds a service account's
// JSON with room to spare.
const maxSecretInput = 64 << 10

// keepFields makes a login of what a person gives: a key, or what tokens are
// minted from.
func keepFields(ctx context.Context, cmd *cobra.Command, a *app, b *broker.Broker, o loginOptions,
	definition *providers.Provider, method *providers.Method, login vaultfile.Login,
) (result broker.LoginResult, err error) {
	if o.from != "" || len(o.fields) > 0 {
		if login.Refs, err = references(cmd, method, o); err != nil {
			return result, err
		}
	}
	rest := missingFields(method, login.Refs)
	switch {
	case len(rest) == 0:
	case o.stdin:
		login.Secrets, err = readFields(a.in, rest)
	case login.Refs != nil && !slices.ContainsFunc(rest, func(f providers.Field) bool { return !f.Optional }):
	default:
		login.Secrets, err = askFields(ctx, definition, method, rest, login.Refs != nil)
	}
	if err != nil {
		return result, err
	}
	for _, f := range method.Fields {
		if value, ok := login.Secrets[f.Name]; ok && !f.Fits(value) {
			fmt.Fprintf(a.err, "note: %s does not look like what %s makes; kept all the same\n", f.Title(), definition.Title)
		}
	}
	return b.Login(ctx, broker.LoginSpec{Login: login, Verify: !o.noVerify})
}

// missingFields are those that no reference stands for.
func missingFields(method *providers.Method, refs map[string]string) []providers.Field {
	var rest []providers.Field
	for _, f := range method.Fields {
		if refs[f.Name] == "" {
			rest = append(rest, f)
		}
	}
	return rest
}

func references(cmd *cobra.Command, method *providers.Method, o loginOptions) (map[string]string, error) {
	refs := map[string]string{}
	if o.from != "" {
		if len(method.Fields) != 1 {
			return nil, usage(cmd, fmt.Errorf("--from gives one value, and this login has %d: use --field NAME=REF for each of %s",
				len(method.Fields), fieldNames(method.Fields)))
		}
		refs[method.Fields[0].Name] = o.from
	}
	for _, pair := range o.fields {
		name, ref, ok := strings.Cut(pair, "=")
		if !ok || !hasField(method.Fields, name) {
			return nil, usage(cmd, fmt.Errorf("--field needs NAME=REF with NAME one of %s", fieldNames(method.Fields)))
		}
		refs[name] = ref
	}
	for _, f := range method.Fields {
		ref := refs[f.Name]
		if ref == "" {
			continue
		}
		if err := broker.CheckReference(ref); err != nil { // which shows no text that may be the secret
			return nil, hint.Exit(hint.Usage, fmt.Errorf("what is given for %q is not a reference: %w", f.Name, err), referenceForms)
		}
	}
	return refs, nil
}

// referenceForms is what to do where something is no reference. It may be the
// secret itself, and is not shown.
const referenceForms = "give env:NAME, file:/path or another form of docs/references.md; a secret itself goes in by --stdin"

func fieldNames(fields []providers.Field) string {
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}

func hasField(fields []providers.Field, name string) bool {
	return slices.ContainsFunc(fields, func(f providers.Field) bool { return f.Name == name })
}

// readFields reads a login's values: the one value there is; or "name: value"
// lines, where a value may be a PEM block of several; or a JSON object, of which a
// service account's file is one.
func readFields(r io.Reader, fields []providers.Field) (map[string]secret.Value, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSecretInput+1))
	defer clear(data)
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	if len(data) > maxSecretInput {
		return nil, fmt.Errorf("read standard input: more than %d bytes", maxSecretInput)
	}
	if len(fields) == 1 {
		value := bytes.TrimRight(data, "\r\n")
		if len(value) == 0 {
			return nil, hint.Wrap(errors.New("read standard input: no secret there"), `pipe it in: printf %s "$TOKEN" | kb login … --stdin`)
		}
		return map[string]secret.Value{fields[0].Name: secret.New(string(value))}, nil
	}
	values, err := splitFields(data, fields)
	if err != nil {
		return nil, err
	}
	for _, f := range fields {
		if values[f.Name].IsZero() && !f.Optional {
			return nil, fmt.Errorf("read standard input: nothing for %q", f.Name)
		}
	}
	return values, nil
}

// serviceAccountField is where a jwt-bearer method takes a service account's
// file (docs/providers.md).
const serviceAccountField = "key"

// splitFields takes several values apart.
func splitFields(data []byte, fields []providers.Field) (map[string]secret.Value, error) {
	values := map[string]secret.Value{}
	if text := bytes.TrimSpace(data); bytes.HasPrefix(text, []byte("{")) {
		var object map[string]string
		// The decoder's error may quote the input.
		if json.Unmarshal(text, &object) != nil {
			return nil, fmt.Errorf("read standard input: it begins like a JSON object, and is none of strings by the names %s", fieldNames(fields))
		}
		// The file of a service account, as it is downloaded, is one value.
		if object["type"] == "service_account" && hasField(fields, serviceAccountField) {
			return map[string]secret.Value{serviceAccountField: secret.New(string(text))}, nil
		}
		for _, name := range slices.Sorted(maps.Keys(object)) {
			if !hasField(fields, name) {
				return nil, fmt.Errorf("read standard input: the JSON object has a name that is none of %s", fieldNames(fields))
			}
			values[name] = secret.New(strings.TrimSpace(object[name]))
		}
		return values, nil
	}
	name := "" // of the PEM block that the lines belong to
	var block []string
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		switch {
		case name != "":
			if block = append(block, line); strings.HasPrefix(line, "-----END ") {
				values[name] = secret.New(strings.Join(block, "\n"))
				name = ""
			}
			continue
		case line == "":
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok || !hasField(fields, key) {
			return nil, fmt.Errorf("read standard input: each line must be NAME: VALUE with NAME one of %s", fieldNames(fields))
		}
		value = strings.TrimSpace(value)
		if strings.HasPrefix(value, "-----BEGIN ") {
			name, block = key, []string{value}
			continue
		}
		values[key] = secret.New(value)
	}
	if name != "" {
		return nil, fmt.Errorf("read standard input: the key of %q has no end", name)
	}
	return values, nil
}

// askFields asks for values on the terminal; more says that others came as
// references.
func askFields(ctx context.Context, definition *providers.Provider, method *providers.Method, fields []providers.Field, more bool) (map[string]secret.Value, error) {
	tty, err := term.OpenTTY()
	if err != nil {
		fix := "pipe the secret in: kb login " + definition.Name + " --stdin"
		if more {
			fix = "add --field NAME=REF for each of " + fieldNames(fields) + ", or pipe them in with --stdin"
		}
		return nil, hint.Exit(hint.Human, errors.New("log in: no terminal to ask on"), fix)
	}
	defer tty.Close()
	if method.Page != "" {
		tty.Printf("%s makes keys at %s\n", plain.Clean(definition.Title), plain.Clean(method.Page))
	}
	values := map[string]secret.Value{}
	for _, f := range fields {
		label := f.Title()
		value, err := askField(ctx, tty, label, f.Secret)
		if err != nil {
			return nil, hint.Exit(hint.Cancelled, fmt.Errorf("log in: %w", err), "")
		}
		if value.IsZero() {
			if f.Optional {
				continue
			}
			return nil, hint.Exit(hint.Cancelled, fmt.Errorf("log in: no %s given", label), "")
		}
		values[f.Name] = value
	}
	return values, nil
}

// askField asks for one value, a secret without echo.
func askField(ctx context.Context, tty *term.TTY, label string, hidden bool) (secret.Value, error) {
	if hidden {
		return tty.AskText(ctx, label+": ")
	}
	line, err := tty.AskLine(ctx, label+": ")
	return secret.New(line), err
}
