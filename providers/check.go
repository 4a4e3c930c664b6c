package providers

// check returns every rule that a definition breaks.
func (p *Provider) check(*document) []Problem { return nil }
