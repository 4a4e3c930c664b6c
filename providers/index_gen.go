package providers

var index = []IndexEntry{
	{Name: "anthropic", Title: "Anthropic API", Hosts: []string{"api.anthropic.com"}, Env: []string{"ANTHROPIC_API_KEY"}},
	{Name: "github", Title: "GitHub", Hosts: []string{"api.github.com", "github.com"}, Env: []string{"GH_TOKEN", "GITHUB_TOKEN"}},
	{Name: "openai", Title: "OpenAI API", Hosts: []string{"api.openai.com"}, Env: []string{"OPENAI_API_KEY"}},
}
