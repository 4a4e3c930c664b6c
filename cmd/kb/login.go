package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/secret"
	"kb/internal/term"
	"kb/providers"
	"kb/vaultfile"
)

// maxSecretInput bounds what --stdin reads: 64 KiB holds a service account's
// JSON with room to spare.
const maxSecretInput = 64 << 10

type loginOptions struct {
	provider, profile, as, method, base, from string
	fields                                    []string
	stdin, noVerify, replace                  bool
}

func newLogin(a *app) *cobra.Command {
	var o loginOptions
	cmd := &cobra.Command{
		Use:   "login PROVIDER",
		Short: "give a profile a login at a provider",
		Long: `Give a profile a login at a provider: a key or token that kb keeps in the vault
and puts on requests.

The value is asked for without echo, or read from standard input with --stdin (one
line; for several fields, "name: value" lines), or kept as a reference with --from
(env:NAME, file:/path, cmd:…, awssm://, awsps://, op://, bw://, vault://, gcpsm://,
sops:, keyring:), which is resolved at use. A secret on the command line is refused.`,
		Example: `  kb login github -p work
  printf %s "$TOKEN" | kb login github -p work --stdin
  kb login jira -p work --url https://acme.atlassian.net`,
		Args: exactArgs(1, "a provider's name (kb provider ls)"),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			o.provider = args[0]
			return runLogin(cmd, a, o)
		}),
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.profile, "profile", "p", "", "profile that gets the login; default: the one of this directory")
	flags.StringVar(&o.as, "as", "", "name of a further login at the same provider")
	flags.StringVar(&o.method, "method", "", "login method of the provider's definition")
	flags.BoolVar(&o.stdin, "stdin", false, "read the secret from standard input")
	flags.StringVar(&o.from, "from", "", "keep a reference in place of the value: env:NAME, file:/path, op://…, awssm://… and others (docs/references.md)")
	flags.StringArrayVar(&o.fields, "field", nil, "FIELD=REF, a reference for one of several fields (repeatable)")
	flags.StringVar(&o.base, "url", "", "base URL of a self-hosted or per-tenant provider")
	flags.BoolVar(&o.noVerify, "no-verify", false, "do not ask the provider who the credential belongs to")
	flags.BoolVar(&o.replace, "replace", false, "replace the login that is there")
	return cmd
}

func runLogin(cmd *cobra.Command, a *app, o loginOptions) error {
	ctx := cmd.Context()
	b, err := a.brokerOfAny(ctx)
	if err != nil {
		return err
	}
	if o.profile, err = profileOf(ctx, a, b, o.profile); err != nil {
		return err
	}
	definition, err := b.Definition(o.profile, o.provider, o.base)
	if err != nil {
		return err
	}
	method, ok := definition.Login.Method(o.method)
	if !ok {
		return usage(cmd, fmt.Errorf("%s has no login method %q, only %s", definition.Name, o.method, methodNames(definition)))
	}
	login := vaultfile.Login{Profile: o.profile, Provider: definition.Name, As: o.as, Base: o.base, Method: method.Name}
	if !o.replace && slices.ContainsFunc(b.All().Logins, func(l vaultfile.Login) bool {
		return l.Profile == login.Profile && l.Provider == login.Provider && l.As == login.As
	}) {
		return hint.Wrap(fmt.Errorf("log in: profile %q has a login at %s already", b.Show(login.Profile), loginName(login)),
			"add --replace to replace it, or --as NAME for a second one")
	}
	switch {
	case o.from != "" || len(o.fields) > 0:
		login.Refs, err = references(cmd, method, o)
	case o.stdin:
		login.Secrets, err = readFields(io.LimitReader(a.in, maxSecretInput+1), method)
	default:
		login.Secrets, err = askFields(ctx, a, definition, method)
	}
	if err != nil {
		return err
	}
	for _, f := range method.Fields {
		if value, ok := login.Secrets[f.Name]; ok && !f.Fits(value) {
			fmt.Fprintf(a.err, "note: %s does not look like what %s makes; kept all the same\n", fieldLabel(f), definition.Title)
		}
	}
	result, err := b.Login(ctx, broker.LoginSpec{Login: login, Verify: !o.noVerify})
	if err != nil {
		return err
	}
	who := ""
	if result.Account != "" {
		who = " as " + result.Account
	}
	fmt.Fprintf(a.err, "profile %s is logged in at %s%s\n", b.Show(login.Profile), loginName(login), who)
	if result.Note != "" {
		fmt.Fprintf(a.err, "note: %s\n", result.Note)
	}
	return nil
}

// profileOf is the full name of the profile that -p names, or of the current
// directory's.
func profileOf(ctx context.Context, a *app, b *broker.Broker, given string) (string, error) {
	if given != "" {
		return b.Find(given)
	}
	d, err := b.Decide(ctx, broker.DecideSpec{Environ: childEnviron(a.environ)})
	if err != nil {
		return "", hint.Exit(hint.Code(err), err, "name the profile with -p NAME")
	}
	return d.Match.Profile, nil
}

func references(cmd *cobra.Command, method *providers.Method, o loginOptions) (map[string]string, error) {
	refs := map[string]string{}
	if o.from != "" {
		if len(method.Fields) != 1 {
			return nil, usage(cmd, fmt.Errorf("--from gives one value, and this login has %d: use --field NAME=REF for each of %s",
				len(method.Fields), fieldNames(method)))
		}
		refs[method.Fields[0].Name] = o.from
	}
	for _, pair := range o.fields {
		name, ref, ok := strings.Cut(pair, "=")
		if !ok || !hasField(method, name) {
			return nil, usage(cmd, fmt.Errorf("--field needs NAME=REF with NAME one of %s", fieldNames(method)))
		}
		refs[name] = ref
	}
	for _, f := range method.Fields {
		if refs[f.Name] == "" && !f.Optional {
			return nil, usage(cmd, fmt.Errorf("field %q has no reference: add --field %s=REF", f.Name, f.Name))
		}
	}
	for _, ref := range refs {
		if err := broker.CheckReference(ref); err != nil {
			return nil, usage(cmd, err)
		}
	}
	return refs, nil
}

func fieldNames(method *providers.Method) string {
	var names []string
	for _, f := range method.Fields {
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}

func hasField(method *providers.Method, name string) bool {
	return slices.ContainsFunc(method.Fields, func(f providers.Field) bool { return f.Name == name })
}

// readFields reads a login's values: one line, or "name: value" lines when
// there are several fields.
func readFields(r io.Reader, method *providers.Method) (map[string]secret.Value, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	if len(data) > maxSecretInput {
		return nil, fmt.Errorf("read standard input: more than %d bytes", maxSecretInput)
	}
	if len(method.Fields) == 1 {
		value := strings.TrimRight(string(data), "\r\n")
		if value == "" {
			return nil, hint.Wrap(errors.New("read standard input: no secret there"), `pipe it in: printf %s "$TOKEN" | kb login … --stdin`)
		}
		return map[string]secret.Value{method.Fields[0].Name: secret.New(value)}, nil
	}
	values := map[string]secret.Value{}
	lines := bufio.NewScanner(strings.NewReader(string(data)))
	lines.Buffer(nil, maxSecretInput)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !hasField(method, name) {
			return nil, fmt.Errorf("read standard input: each line must be NAME: VALUE with NAME one of %s", fieldNames(method))
		}
		values[name] = secret.New(strings.TrimSpace(value))
	}
	for _, f := range method.Fields {
		if values[f.Name].IsZero() && !f.Optional {
			return nil, fmt.Errorf("read standard input: no line for %q", f.Name)
		}
	}
	return values, nil
}

func askFields(ctx context.Context, a *app, definition *providers.Provider, method *providers.Method) (map[string]secret.Value, error) {
	tty, err := term.OpenTTY()
	if err != nil {
		return nil, hint.Exit(hint.Human, errors.New("log in: no terminal to ask on"), "pipe the secret in: kb login "+definition.Name+" --stdin")
	}
	defer tty.Close()
	if method.Page != "" {
		tty.Printf("%s makes keys at %s\n", definition.Title, method.Page)
	}
	values := map[string]secret.Value{}
	for _, f := range method.Fields {
		label := fieldLabel(f)
		var value secret.Value
		if f.Secret {
			value, err = tty.AskSecret(ctx, label+": ")
		} else {
			var line string
			line, err = tty.AskLine(ctx, label+": ")
			value = secret.New(line)
		}
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

func fieldLabel(f providers.Field) string {
	if f.Label != "" {
		return f.Label
	}
	return f.Name
}

func methodNames(definition *providers.Provider) string {
	var names []string
	for _, m := range definition.Login.Methods() {
		names = append(names, m.Name)
	}
	return strings.Join(names, ", ")
}

// loginName is how a login is called in talk: "github", "github (bot)".
func loginName(l vaultfile.Login) string {
	if l.As == "" {
		return l.Provider
	}
	return l.Provider + " (" + l.As + ")"
}

func newLogout(a *app) *cobra.Command {
	var profileName, as string
	cmd := &cobra.Command{
		Use: "logout PROVIDER", Short: "remove a login from the vault, and so from every device", Args: exactArgs(1, "a provider's name"),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			b, err := a.brokerOfAny(ctx)
			if err != nil {
				return err
			}
			full, err := profileOf(ctx, a, b, profileName)
			if err != nil {
				return err
			}
			login := vaultfile.Login{Profile: full, Provider: args[0], As: as}
			if !slices.ContainsFunc(b.All().Logins, func(l vaultfile.Login) bool {
				return l.Profile == full && l.Provider == login.Provider && l.As == as
			}) {
				return hint.Wrap(fmt.Errorf("log out: profile %q has no login at %s", b.Show(full), loginName(login)), "run kb status")
			}
			if err := b.RemoveLogin(ctx, full, login.Provider, as); err != nil {
				return err
			}
			fmt.Fprintf(a.err, "profile %s is logged out of %s; the key itself still works: revoke it at the provider if it may be known\n",
				b.Show(full), loginName(login))
			return nil
		}),
	}
	cmd.Flags().StringVarP(&profileName, "profile", "p", "", "profile that loses the login; default: the one of this directory")
	cmd.Flags().StringVar(&as, "as", "", "name of the login, where there are several")
	cmd.Flags().Bool("everywhere", false, "accepted for OAuth logins; a static key is always removed everywhere")
	return cmd
}
