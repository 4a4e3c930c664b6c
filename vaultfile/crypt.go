package vaultfile

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// seal encrypts to an armored age file.
func seal(plain []byte, to ...age.Recipient) ([]byte, error) {
	var bin bytes.Buffer
	bin.Grow(len(plain) + len(plain)/1024 + 1024)
	w, err := age.Encrypt(&bin, to...)
	if err != nil {
		if mix := mixed(err, to); mix != nil {
			return nil, mix
		}
		return nil, fmt.Errorf("encrypt vault: %w", err)
	}
	if _, err := w.Write(plain); err != nil {
		return nil, fmt.Errorf("encrypt vault: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encrypt vault: %w", err)
	}
	return enarmor(bin.Bytes()), nil
}

// The armor of age: strict PEM with lines of 64 columns, each 48 bytes.
const (
	armorLine  = 64
	armorBytes = 48
)

func enarmor(bin []byte) []byte {
	n := base64.StdEncoding.EncodedLen(len(bin))
	out := make([]byte, 0, len(armor.Header)+len(armor.Footer)+n+n/armorLine+4)
	out = append(append(out, armor.Header...), '\n')
	for len(bin) > 0 {
		line := bin[:min(armorBytes, len(bin))]
		out = append(base64.StdEncoding.AppendEncode(out, line), '\n')
		bin = bin[len(line):]
	}
	return append(append(out, armor.Footer...), '\n')
}

// unseal opens an armored age file. It returns all of the content or an error
// that wraps one of ErrNotVault, ErrMalformed, ErrTruncated, ErrTampered,
// ErrTooLarge, ErrWrongKey.
func unseal(file []byte, with age.Identity) ([]byte, error) {
	if len(file) > maxFile {
		return nil, ErrTooLarge
	}
	bin, err := dearmor(file)
	if err != nil {
		return nil, err
	}
	const intro = "age-encryption.org/v1\n"
	if !bytes.HasPrefix(bin, []byte(intro)) {
		if len(bin) < len(intro) && bytes.HasPrefix([]byte(intro), bin) {
			return nil, ErrTruncated
		}
		return nil, fmt.Errorf("%w: no age header in its armor", ErrMalformed)
	}
	r, err := age.Decrypt(bytes.NewReader(bin), with)
	if err != nil {
		return nil, classifyHeader(err)
	}
	plain := bytes.NewBuffer(make([]byte, 0, len(bin)+bytes.MinRead))
	if _, err := plain.ReadFrom(r); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, ErrTruncated
		}
		// Cut at the border of a chunk, or inside its tag, a file is to age
		// what a tampered one is: the last chunk fails its authentication.
		return nil, ErrTampered
	}
	return plain.Bytes(), nil
}

// classifyHeader names what age says of a header. Its own words may quote the
// file, and are dropped.
func classifyHeader(err error) error {
	var none *age.NoIdentityMatchError
	switch {
	case errors.As(err, &none):
		return ErrWrongKey
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ErrTruncated
	case err.Error() == "bad header MAC":
		return ErrTampered
	}
	return fmt.Errorf("%w: bad age header", ErrMalformed)
}

// dearmor takes the armor apart, in the one form that age and kb write it in.
// Git may have turned its line ends into CRLF; nothing else may differ, so that
// no byte of the file can change unnoticed.
func dearmor(file []byte) ([]byte, error) {
	const begin, end = armor.Header + "\n", "\n" + armor.Footer + "\n"
	if bytes.HasPrefix([]byte(armor.Header), file) || bytes.HasPrefix([]byte(armor.Header+"\r\n"), file) {
		return nil, ErrTruncated // as little as nothing may be left of it
	}
	if !bytes.HasPrefix(file, []byte(armor.Header)) {
		return nil, ErrNotVault
	}
	if bytes.HasPrefix(file, []byte(armor.Header+"\r\n")) {
		lf := bytes.ReplaceAll(file, []byte("\r\n"), []byte("\n"))
		if len(file)-len(lf) != bytes.Count(lf, []byte("\n")) {
			return nil, fmt.Errorf("%w: mixed line ends", ErrMalformed)
		}
		file = lf
	}
	switch {
	case !bytes.HasPrefix(file, []byte(begin)):
		return nil, fmt.Errorf("%w: bad armor", ErrMalformed)
	case !bytes.HasSuffix(file, []byte(end)):
		if i := bytes.Index(file, []byte(end[:len(end)-1])); i >= 0 && len(file) > i+len(end)-1 {
			return nil, fmt.Errorf("%w: something after its armor", ErrMalformed)
		}
		return nil, ErrTruncated
	}
	bin, ok := dearmorBody(file[len(begin) : len(file)-len(end)+1])
	if !ok {
		return nil, fmt.Errorf("%w: bad armor", ErrMalformed)
	}
	return bin, nil
}

// dearmorBody decodes full lines of 64 columns and one last line that is not
// empty.
func dearmorBody(body []byte) ([]byte, bool) {
	const step = armorLine + 1
	flat := make([]byte, 0, len(body))
	for len(body) > 0 {
		n := bytes.IndexByte(body[:min(step, len(body))], '\n')
		if n <= 0 || n != armorLine && len(body) > n+1 {
			return nil, false
		}
		flat = append(flat, body[:n]...)
		body = body[n+1:]
	}
	// Decode would skip a CR or LF inside; there is no LF left.
	if bytes.IndexByte(flat, '\r') >= 0 {
		return nil, false
	}
	n, err := base64.StdEncoding.Strict().Decode(flat, flat)
	return flat[:n], err == nil
}
