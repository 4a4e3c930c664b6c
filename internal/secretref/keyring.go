package secretref

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/zalando/go-keyring"
)

// keyringTimeout: a locked keyring asks on the screen, if there is one.
const keyringTimeout = 30 * time.Second

func checkKeyring(p *reference) error {
	if at := strings.LastIndexByte(p.name, '/'); at <= 0 || at == len(p.name)-1 {
		return errors.New("it is keyring:SERVICE/ACCOUNT")
	}
	return nil
}

// fetchKeyring asks the system's keyring: the Secret Service on Linux, the
// login keychain on macOS. What the library answers with in place of a value,
// no such entry as well as no keyring, is the same to the reader.
func fetchKeyring(ctx context.Context, _ *Resolver, p *reference, _ Source) ([]byte, error) {
	at := strings.LastIndexByte(p.name, '/')
	ctx, cancel := context.WithTimeout(ctx, keyringTimeout)
	defer cancel()
	answer := make(chan string, 1)
	go func() { // the library takes no context
		value, err := keyring.Get(p.name[:at], p.name[at+1:])
		if err != nil {
			value = ""
		}
		answer <- value
	}()
	select {
	case value := <-answer:
		return []byte(value), nil
	case <-ctx.Done():
		return nil, errors.New("the keyring did not answer")
	}
}
