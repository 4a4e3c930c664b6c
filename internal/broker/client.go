package broker

// ClientNeed is what kb has to be told of the OAuth client that a login is
// made with.
type ClientNeed struct {
	Name           string // of the client's record, for OAuthLogin.Client
	Page           string // where the user makes the client
	Redirect       string // what to enter there as redirect URI
	Secret         bool   // the server gives clients a secret
	SecretOptional bool   // and there is a flow that does without
	Dynamic        bool   // kb registers the client by itself: nothing is to be typed
}

// NeedsClient says what a login's method needs in order to have a client; ok is
// false when there is one already, or none is needed.
func (b *Broker) NeedsClient(full, provider, base, method string) (need ClientNeed, ok bool, err error) {
	return need, false, nil
}
