package vaultfile

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// JoinRequest is what a new device shows to one that has the vault: its public
// keys, and a nonce that makes the request, and so the code that answers it,
// its own. Nothing in it is secret.
type JoinRequest struct {
	Device    string // id
	Name      string // what its user calls it; written by others
	Recipient string
	SignKey   []byte // Ed25519 public key, 32 bytes
	Nonce     [32]byte
}

const (
	joinPrefix = "kb-join-1:"
	// joinCheck: hexadecimal digits of SHA-256 that end a request. They find
	// a line that was cut or broken by mail; the fingerprint is what no one
	// can forge.
	joinCheck = 8
	// maxJoin bounds a request: a hybrid recipient has 1,959 characters.
	maxJoin = 16 << 10

	fingerprintPrefix = "kb join fingerprint v1\n"
	codePrefix        = "kb join code v1\n"
	// fingerprintWords: 80 bits. Who swaps a request has to find a second one
	// of the same fingerprint, while two people wait.
	fingerprintWords = 5
	// codeWords: 96 bits. See the package comment.
	codeWords = 6
)

// Errors of joining.
var (
	// ErrBadRequest: not a join request, or one that was damaged on the way.
	ErrBadRequest = errors.New("not a whole join request: one is a line that begins with " + joinPrefix + "…")
	// ErrWrongCode: the code names no device of the vault that is there.
	ErrWrongCode = errors.New("the code is not that of any device of this vault")
)

// NewJoinRequest makes the request of a device. Nil random means crypto/rand.
func NewJoinRequest(id *Identity, name string, random io.Reader) (*JoinRequest, error) {
	if random == nil {
		random = rand.Reader
	}
	if !validName(name) {
		return nil, fmt.Errorf("name device %q: %w", name, ErrInvalid)
	}
	if id.sign == nil {
		return nil, ErrReadOnly
	}
	r := &JoinRequest{Device: id.id, Name: name, Recipient: id.Recipient(), SignKey: id.SignKey()}
	_, err := io.ReadFull(random, r.Nonce[:])
	return r, err
}

// json is the request in canonical form: what its words are over.
func (r *JoinRequest) json() []byte {
	var o object
	o.str("device", r.Device)
	o.str("name", r.Name)
	o.str("nonce", base64.StdEncoding.EncodeToString(r.Nonce[:]))
	o.str("recipient", r.Recipient)
	o.str("sign_key", base64.StdEncoding.EncodeToString(r.SignKey))
	return o.done()
}

// String is the request as one line of printable ASCII without spaces.
func (r *JoinRequest) String() string {
	b := r.json()
	return joinPrefix + base64.RawURLEncoding.EncodeToString(b) + "." + joinSum(b)
}

func joinSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:joinCheck/2])
}

// ParseJoinRequest reads what String wrote. White space in it, which mail and
// terminals put into long lines, does not count.
func ParseJoinRequest(s string) (*JoinRequest, error) {
	if len(s) > maxJoin {
		return nil, ErrBadRequest
	}
	s = strings.Join(strings.Fields(s), "")
	body, ok := strings.CutPrefix(s, joinPrefix)
	body, sum, found := strings.Cut(body, ".")
	if !ok || !found {
		return nil, ErrBadRequest
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil || joinSum(b) != sum {
		return nil, ErrBadRequest
	}
	r := &JoinRequest{}
	var nonce []byte
	d := newDecoder().at(b)
	d.members(func(name string) bool {
		switch name {
		case "device":
			return d.text(&r.Device)
		case "name":
			return d.text(&r.Name)
		case "nonce":
			return d.bytes(&nonce)
		case "recipient":
			return d.text(&r.Recipient)
		case "sign_key":
			return d.bytes(&r.SignKey)
		}
		return d.unknown(name)
	})
	if d.bad || d.newer != "" || copy(r.Nonce[:], nonce) != len(r.Nonce) || !isDeviceID(r.Device) || !validName(r.Name) ||
		!native(r.Recipient) || len(r.SignKey) != ed25519.PublicKeySize || string(r.json()) != string(b) {
		return nil, ErrBadRequest
	}
	return r, nil
}

// Fingerprint is the request in five words. The new device and the one that
// approves show them, and a person sees that they are the same.
func (r *JoinRequest) Fingerprint() string {
	return wordsOf(append([]byte(fingerprintPrefix), r.json()...), fingerprintWords)
}

// HasFingerprint reports whether a person typed the request's fingerprint.
func (r *JoinRequest) HasFingerprint(typed string) bool { return sameWords(typed, r.Fingerprint()) }

// PostQuantum reports whether the device that asks has a post-quantum key.
func (r *JoinRequest) PostQuantum() bool { return isHybrid(r.Recipient) }

// code answers the request for one device of a vault, in six words.
func (r *JoinRequest) code(vaultID, approver string, key ed25519.PublicKey) string {
	sum := sha256.Sum256(r.json())
	var o object
	o.str("approver", approver)
	o.str("nonce", base64.StdEncoding.EncodeToString(r.Nonce[:]))
	o.str("request", base64.StdEncoding.EncodeToString(sum[:]))
	o.str("sign_key", base64.StdEncoding.EncodeToString(key))
	o.str("vault_id", vaultID)
	return wordsOf(append([]byte(codePrefix), o.done()...), codeWords)
}

// Approve adds the device that asks, vouched for by this one, and returns the
// code that the new device asks for. Whoever calls it has compared the
// fingerprint. Approving a request again gives its code again.
func Approve(ctx context.Context, path string, id *Identity, mem Memory, r *JoinRequest) (f *File, code string, err error) {
	f, err = Edit(ctx, path, id, mem, func(tx *Tx) error {
		if err := tx.PutDevice(Device{ID: r.Device, Name: r.Name, Recipient: r.Recipient, SignKey: r.SignKey, Kind: KindDevice}); err != nil {
			return err
		}
		tx.vouchForAll() // also where another device had added it: the code names this one
		return nil
	})
	if err != nil {
		return f, "", err
	}
	return f, r.code(f.ID(), id.id, id.SignKey()), nil
}

// TrustByCode has a device that never saw the vault at path trust the one of
// its devices that the code names, and no other: everything else in the vault
// must be reached by a chain from it. A code that names none changes nothing.
func TrustByCode(ctx context.Context, path string, id *Identity, mem Memory, r *JoinRequest, code string) error {
	p, c, err := look(path, id)
	if err != nil {
		return err
	}
	for i := range c.Devices {
		d := &c.Devices[i]
		if len(d.SignKey) == ed25519.PublicKeySize && sameWords(code, r.code(p.vaultID, d.ID, d.SignKey)) {
			return FirstTrust(ctx, mem, p.vaultID, d.ID, d.SignKey)
		}
	}
	return ErrWrongCode
}

// Readable reports whether id can decrypt the vault at path; whether it is
// genuine is another question. The error is about the file.
func Readable(path string, id *Identity) (bool, error) {
	_, _, err := look(path, id)
	if errors.Is(err, ErrWrongKey) {
		return false, nil
	}
	return err == nil, err
}

// IsPostQuantum reports of which kind the keys are that the vault at path is
// encrypted to. Its header tells, without a key.
func IsPostQuantum(path string) (bool, error) {
	_, raw, _, err := readFile(path)
	if err != nil {
		return false, err
	}
	bin, err := dearmor(raw)
	if err != nil {
		return false, fmt.Errorf("open vault %q: %w", path, err)
	}
	header, _, _ := strings.Cut(string(bin), "\n---")
	return strings.Contains(header, "\n-> mlkem768x25519 "), nil
}
