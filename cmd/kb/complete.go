package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/plain"
	"kb/providers"
)

// offer says what a word of the command line may be. It is asked while a person
// types, so what cannot be found out is no error: nothing is offered then.
type offer func(context.Context, *app) []cobra.Completion

// offered are the words behind each verb, in their order.
var offered = map[string][]offer{
	"kb approve":          {waitingRequests},
	"kb deny":             {waitingRequests},
	"kb session stop":     {runningSessions},
	"kb profile show":     {profileNames},
	"kb profile set":      {profileNames},
	"kb profile rm":       {profileNames},
	"kb profile default":  {profilesOrNone},
	"kb rule add":         {profileNames},
	"kb rule rm":          {ruleIDs},
	"kb policy add":       {profileNames, words("allow", "ask", "deny", "limit")},
	"kb policy rm":        {policyIDs},
	"kb policy test":      {words("GET", "POST", "PUT", "PATCH", "DELETE")},
	"kb pin rm":           {pinned},
	"kb login":            {providerNames},
	"kb logout":           {loginProviders},
	"kb refresh":          {loginProviders},
	"kb reference accept": {loginProviders},
	"kb import":           {words(broker.ImportSources()...)},
	"kb provider show":    {providerNames},
	"kb provider rm":      {ownProviders},
	"kb device rm":        {deviceNames},
	"kb vault forget":     {vaultNames},
	"kb config get":       {settingNames},
	"kb config set":       {settingNames},
	"kb completion":       {words(shells...)},
}

// offeredFlags are the values of flags, by their name.
var offeredFlags = map[string]offer{
	"profile":   profileNames,
	"also":      profileNames,
	"provider":  providerNames,
	"vault":     vaultNames,
	"session":   runningSessions,
	"isolation": words("auto", "hardened", "off"),
	"egress":    words("open", "listed"),
	"git":       words("read", "write"),
	"for":       words("1h", "8h", "24h", "168h"),
	"since":     words("1h", "1d", "7d"),
	"output":    nil, // see pathWords
}

// pathWords are the verbs and flags whose words are paths, which the shell completes.
var pathWords = map[string]cobra.ShellCompDirective{
	"kb exec":                   cobra.ShellCompDirectiveDefault, // a command of the person's own
	"kb doctor":                 cobra.ShellCompDirectiveDefault,
	"kb audit export":           cobra.ShellCompDirectiveDefault,
	"kb provider add":           cobra.ShellCompDirectiveDefault,
	"kb provider lint":          cobra.ShellCompDirectiveDefault,
	"kb vault merge":            cobra.ShellCompDirectiveDefault,
	"kb vault show":             cobra.ShellCompDirectiveDefault,
	"kb rule test":              cobra.ShellCompDirectiveFilterDirs,
	"kb which":                  cobra.ShellCompDirectiveFilterDirs,
	"kb init --vault":           cobra.ShellCompDirectiveDefault,
	"kb device join --vault":    cobra.ShellCompDirectiveDefault,
	"kb vault recover --vault":  cobra.ShellCompDirectiveDefault,
	"kb device add-ci --output": cobra.ShellCompDirectiveDefault,
}

// completes gives the verbs below cmd what the shell asks them for: of no verb are
// the words files of the working directory, unless pathWords says so.
func completes(a *app, cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		completes(a, sub)
	}
	path := cmd.CommandPath()
	if !cmd.HasSubCommands() || cmd.Runnable() && offered[path] != nil {
		cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if directive, ok := pathWords[path]; ok {
				return nil, directive
			}
			if n := len(args); n < len(offered[path]) {
				return beginning(begun, offered[path][n](cmd.Context(), a)), cobra.ShellCompDirectiveNoFileComp
			}
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
	}
	for name, o := range offeredFlags {
		f := cmd.LocalFlags().Lookup(name)
		if f == nil || f.Value.Type() == "bool" {
			continue
		}
		directive, isPath := pathWords[path+" --"+name]
		_ = cmd.RegisterFlagCompletionFunc(name, func(cmd *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if isPath {
				return nil, directive
			}
			return beginning(begun, o(cmd.Context(), a)), cobra.ShellCompDirectiveNoFileComp
		})
	}
}

// asIs are the words that every shell reads as themselves. Cobra's script for bash
// evaluates the line at the next tab, and names come from whoever writes a shared
// vault: $(…) among them would be run.
var asIs = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9@%+:,./_-]*$`)

// beginning are the words that go on from what is typed. One that a shell would read
// as more than a word is not offered.
func beginning(begun string, all []cobra.Completion) []cobra.Completion {
	var out []cobra.Completion
	for _, c := range all {
		word, _, _ := strings.Cut(c, "\t")
		if strings.HasPrefix(c, begun) && asIs.MatchString(word) {
			out = append(out, c)
		}
	}
	return out
}

// quiet opens the vaults without a word and without asking anything. Inside a
// session, and where they are locked, there is nothing to offer from them.
func (a *app) quiet(ctx context.Context) (*broker.Broker, bool) {
	if a.getenv("KB_SESSION") != "" {
		return nil, false
	}
	paths, err := broker.FindPaths(a.getenv)
	if err != nil {
		return nil, false
	}
	b, err := broker.Open(ctx, broker.Options{Paths: paths, Getenv: a.getenv, Any: true})
	return b, err == nil
}

// completion is a word with what it is. Descriptions come from vaults and
// sessions, and a shell prints them as they are.
func completion(word, format string, args ...any) cobra.Completion {
	return cobra.CompletionWithDesc(plain.Clean(word), plain.Clean(fmt.Sprintf(format, args...)))
}

// words are those of a closed set.
func words(all ...string) offer {
	return func(context.Context, *app) []cobra.Completion { return all }
}

func profileNames(ctx context.Context, a *app) (out []cobra.Completion) {
	b, ok := a.quiet(ctx)
	if !ok {
		return nil
	}
	for _, p := range b.All().Profiles {
		out = append(out, completion(b.Show(p.Name), "%s", strings.TrimSpace(p.GitName+" "+p.GitEmail)))
	}
	return out
}

func profilesOrNone(ctx context.Context, a *app) []cobra.Completion {
	return append(profileNames(ctx, a), completion("none", "no profile where no rule matches"))
}

func ruleIDs(ctx context.Context, a *app) (out []cobra.Completion) {
	b, ok := a.quiet(ctx)
	if !ok {
		return nil
	}
	for _, r := range b.All().Rules {
		out = append(out, completion(r.ID, "%s gets %s", r.Conditions(), b.Show(r.Profile)))
	}
	return out
}

func policyIDs(ctx context.Context, a *app) (out []cobra.Completion) {
	b, ok := a.quiet(ctx)
	if !ok {
		return nil
	}
	for _, l := range b.Policies() {
		out = append(out, completion(l.ID, "%s: %s", b.Show(l.Profile), l.Words))
	}
	return out
}

func pinned(ctx context.Context, a *app) (out []cobra.Completion) {
	b, ok := a.quiet(ctx)
	if !ok {
		return nil
	}
	pins, err := b.Pins()
	if err != nil {
		return nil
	}
	for _, p := range pins {
		out = append(out, completion(p.CommonDir, "%s", p.Profile))
	}
	return out
}

// providerNames are those of the catalogue, which is there without a vault too.
func providerNames(ctx context.Context, a *app) (out []cobra.Completion) {
	all, _ := a.everyProvider(ctx)
	for _, p := range all {
		out = append(out, completion(p.Name, "%s", p.Title))
	}
	return out
}

func ownProviders(ctx context.Context, a *app) (out []cobra.Completion) {
	all, catalog := a.everyProvider(ctx)
	for _, p := range all {
		if catalog.Own(p.Name) {
			out = append(out, completion(p.Name, "%s", p.Title))
		}
	}
	return out
}

func (a *app) everyProvider(ctx context.Context) ([]*providers.Provider, *providers.Catalog) {
	var catalog *providers.Catalog
	if b, ok := a.quiet(ctx); ok {
		catalog = b.Catalog()
	} else if built, err := providers.NewCatalog(); err == nil {
		catalog = built
	} else {
		return nil, nil
	}
	all, err := catalog.All()
	if err != nil {
		return nil, nil
	}
	return all, catalog
}

// loginProviders are the providers at which some profile has a login.
func loginProviders(ctx context.Context, a *app) (out []cobra.Completion) {
	b, ok := a.quiet(ctx)
	if !ok {
		return nil
	}
	of := map[string][]string{}
	for _, l := range b.All().Logins {
		if name := b.Show(l.Profile); !slices.Contains(of[l.Provider], name) {
			of[l.Provider] = append(of[l.Provider], name)
		}
	}
	for _, provider := range sortedNames(of) {
		out = append(out, completion(provider, "%s", strings.Join(of[provider], " ")))
	}
	return out
}

func deviceNames(ctx context.Context, a *app) (out []cobra.Completion) {
	b, ok := a.quiet(ctx)
	if !ok {
		return nil
	}
	for _, d := range b.Contents().Devices {
		out = append(out, completion(d.Name, "%s", d.ID))
	}
	return out
}

func vaultNames(ctx context.Context, a *app) (out []cobra.Completion) {
	b, ok := a.quiet(ctx)
	if !ok {
		return nil
	}
	for _, v := range b.Vaults() {
		out = append(out, completion(v.Name, "%s", v.Path))
	}
	return out
}

func settingNames(ctx context.Context, a *app) (out []cobra.Completion) {
	for _, s := range settingHelp {
		out = append(out, completion(s.key, "%s", s.short))
	}
	return out
}

func runningSessions(ctx context.Context, a *app) (out []cobra.Completion) {
	for _, s := range a.quietSessions(ctx) {
		out = append(out, completion(s.ID, "%s as %s in %s", s.Agent, s.Profile, s.Dir))
	}
	return out
}

func waitingRequests(ctx context.Context, a *app) (out []cobra.Completion) {
	for _, s := range a.quietSessions(ctx) {
		for _, r := range s.Waiting {
			out = append(out, completion(r.ID, "%s %s%s", r.Method, r.Host, r.Path))
		}
	}
	return out
}

func (a *app) quietSessions(ctx context.Context) []sessionJSON {
	if a.getenv("KB_SESSION") != "" {
		return nil
	}
	all, err := a.sessions(ctx)
	if err != nil {
		return nil
	}
	return all
}

// shells are those that kb writes a completion script for.
var shells = []string{"bash", "zsh", "fish"}

func newCompletion(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "completion SHELL", Short: "print the script by which bash, zsh or fish complete kb's words",
		Long: `Print the script by which a shell completes kb's verbs, flags and words: profiles,
providers, sessions, requests that wait. It asks kb itself, so it stays right when
kb is replaced. What is in a locked vault is not offered.`,
		Example: `  source <(kb completion bash)                                      # in ~/.bashrc
  source <(kb completion zsh)                                       # in ~/.zshrc, after compinit
  kb completion fish > ~/.config/fish/completions/kb.fish`,
		Args: exactArgs(1, "a shell: "+strings.Join(shells, ", ")),
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(a.out, true)
			case "zsh":
				return root.GenZshCompletion(a.out)
			case "fish":
				return root.GenFishCompletion(a.out, true)
			}
			return hint.Exit(hint.Usage, fmt.Errorf("complete for %q: kb knows %s", args[0], strings.Join(shells, ", ")), "run kb completion --help")
		},
	}
}
