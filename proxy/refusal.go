package proxy

// Refusal is an answer of kb's own, from a closed set. It is what the client
// sees as JSON {error, message, fix, profile, provider} with
// x-should-retry: false; detail goes to the audit, not here.
type Refusal struct {
	Status   int    // HTTP status: 400, 403, 407, 421, 431, 502, 503, 504
	Code     string // one of the Code constants
	Message  string // one sentence
	Fix      string // the exact command that a human would run, if one helps
	Profile  string
	Provider string
}

func (r *Refusal) Error() string { return r.Code + ": " + r.Message }
