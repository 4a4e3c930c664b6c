package proxy

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Sentinel is a name that every session's CA may sign for and nobody serves.
// It keeps the list of permitted names from ever being empty: Go leaves an
// empty name constraint out, and an authority without one could sign for
// anything.
const Sentinel = "kb.invalid"

const (
	caBefore   = 24 * time.Hour      // of the certificate's life lies in the past: clocks differ
	caAfter    = 30 * 24 * time.Hour // longer than any session; the key dies with the process
	leafLife   = 24 * time.Hour
	leafRenew  = 12 * time.Hour // a leaf with less than this left is minted again
	serialBits = 128            // RFC 5280 §4.1.2.2 allows 20 octets
)

// NotPermittedError says that the CA may not sign for a host.
type NotPermittedError struct{ Host string }

func (e *NotPermittedError) Error() string {
	return fmt.Sprintf("mint a certificate for %q: not on the session's list", e.Host)
}

// CA is a session's certificate authority. Its key exists in memory only and
// is never exported.
//
// The certificate is of P-256, valid from 24 h before it was made to 30 days
// after, signs no further authorities (MaxPathLen 0), and carries critical
// name constraints (RFC 5280 §4.2.1.10): the hosts given and [Sentinel], and no
// IP address but those given. A constraint admits subdomains of its names;
// this type holds the exact list and mints for nothing else.
//
// Java ignores the constraints of a trust anchor; curl, git, Python, Node, Go
// and bun obey them.
type CA struct {
	key     *ecdsa.PrivateKey
	leafKey *ecdsa.PrivateKey
	now     func() time.Time
	rand    io.Reader
	subject pkix.Name
	keyID   []byte

	issued atomic.Pointer[issued]
	leaves sync.Map // host -> *leaf
}

// issued is one certificate over the CA's key, and what it permits.
type issued struct {
	cert  *x509.Certificate // the template: all that minting reads of it
	pem   []byte
	exact map[string]bool
	below []string // ".suffix" of the patterns *.suffix
}

type leaf struct {
	mu   sync.Mutex // held while minting, so that a host is minted once
	cert atomic.Pointer[tls.Certificate]
}

// NewCA makes a session's authority for hosts, each a canonical name or
// *.suffix, and for addrs. now must not be nil; a nil random means
// crypto/rand and is read for serial numbers (the keys come from the system's
// generator always).
func NewCA(hosts []string, addrs []netip.Addr, now func() time.Time, random io.Reader) (*CA, error) {
	if random == nil {
		random = rand.Reader
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the session CA's key: %w", err)
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the session's leaf key: %w", err)
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode the session CA's key: %w", err)
	}
	id := sha256.Sum256(point)
	ca := &CA{key: key, leafKey: leafKey, now: now, rand: random, keyID: id[:20]}
	// The key's hash tells the authorities of two sessions apart: OpenSSL picks
	// an issuer by its subject.
	ca.subject = pkix.Name{CommonName: fmt.Sprintf("kb session %x", id[:6]), Organization: []string{"kb"}}
	return ca, ca.issue(hosts, addrs)
}

// Reissue makes a new certificate with the same key and subject for a wider
// list. Leaves minted before stay valid; a client that loaded the old
// certificate still trusts only the old list.
func (ca *CA) Reissue(hosts []string, addrs []netip.Addr) error { return ca.issue(hosts, addrs) }

// CertPEM returns the certificate, for the bundle that the session's clients
// trust.
func (ca *CA) CertPEM() []byte { return slices.Clone(ca.issued.Load().pem) }

// Permits reports whether the CA may mint for a canonical host.
func (ca *CA) Permits(host string) bool {
	is := ca.issued.Load()
	if is.exact[host] {
		return true
	}
	return slices.ContainsFunc(is.below, func(suffix string) bool {
		return len(host) > len(suffix) && strings.HasSuffix(host, suffix)
	})
}

// Warm mints leaves ahead, so that a host's first request does not wait for
// one. Hosts that are not permitted, and patterns, are passed over.
func (ca *CA) Warm(hosts []string) {
	for _, h := range hosts {
		if ca.Permits(h) {
			_, _ = ca.leaf(h)
		}
	}
}

func (ca *CA) issue(hosts []string, addrs []netip.Addr) error {
	is := &issued{exact: make(map[string]bool, len(hosts)+len(addrs)+1)}
	permitted := make([]string, 0, len(hosts)+1)
	for _, h := range append(slices.Clone(hosts), Sentinel) {
		name, pattern := strings.CutPrefix(h, "*.")
		canonical, err := CanonicalHost(name)
		if err != nil || canonical != name {
			return fmt.Errorf("make the session CA: host %q is not canonical", h)
		}
		if _, err := netip.ParseAddr(name); err == nil {
			return fmt.Errorf("make the session CA: %q is an address, not a name", h)
		}
		if pattern {
			is.below = append(is.below, "."+name)
		} else {
			is.exact[name] = true
		}
		permitted = append(permitted, name)
	}
	slices.Sort(permitted)
	now := ca.now()
	serial, err := ca.serial()
	if err != nil {
		return err
	}
	t := &x509.Certificate{
		SerialNumber:                serial,
		Subject:                     ca.subject,
		SubjectKeyId:                ca.keyID,
		NotBefore:                   now.Add(-caBefore),
		NotAfter:                    now.Add(caAfter),
		KeyUsage:                    x509.KeyUsageCertSign,
		ExtKeyUsage:                 []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid:       true,
		IsCA:                        true,
		MaxPathLenZero:              true,
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         slices.Compact(permitted),
	}
	var v4, v6 bool
	for _, a := range addrs {
		a = a.Unmap()
		is.exact[a.String()] = true
		v4, v6 = v4 || a.Is4(), v6 || a.Is6()
		t.PermittedIPRanges = append(t.PermittedIPRanges, &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())})
	}
	if !v4 {
		t.ExcludedIPRanges = append(t.ExcludedIPRanges, &net.IPNet{IP: make(net.IP, 4), Mask: make(net.IPMask, 4)})
	}
	if !v6 {
		t.ExcludedIPRanges = append(t.ExcludedIPRanges, &net.IPNet{IP: make(net.IP, 16), Mask: make(net.IPMask, 16)})
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, ca.key.Public(), ca.key)
	if err != nil {
		return fmt.Errorf("sign the session CA: %w", err)
	}
	is.cert = t
	is.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	ca.issued.Store(is)
	return nil
}

func (ca *CA) serial() (*big.Int, error) {
	b := make([]byte, serialBits/8)
	if _, err := io.ReadFull(ca.rand, b); err != nil {
		return nil, fmt.Errorf("draw a serial number: %w", err)
	}
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b), nil
}

// leaf returns the certificate for a canonical host, minting it if there is
// none or it grows old.
func (ca *CA) leaf(host string) (*tls.Certificate, error) {
	v, ok := ca.leaves.Load(host)
	if ok {
		if c := v.(*leaf).cert.Load(); c != nil && ca.now().Add(leafRenew).Before(c.Leaf.NotAfter) {
			return c, nil
		}
	}
	if !ca.Permits(host) {
		return nil, &NotPermittedError{Host: host}
	}
	if !ok {
		v, _ = ca.leaves.LoadOrStore(host, new(leaf))
	}
	l := v.(*leaf)
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.cert.Load(); c != nil && ca.now().Add(leafRenew).Before(c.Leaf.NotAfter) {
		return c, nil
	}
	c, err := ca.mint(host)
	if err != nil {
		return nil, err
	}
	l.cert.Store(c)
	return c, nil
}

func (ca *CA) mint(host string) (*tls.Certificate, error) {
	serial, err := ca.serial()
	if err != nil {
		return nil, err
	}
	now := ca.now()
	t := &x509.Certificate{
		SerialNumber:   serial,
		NotBefore:      now.Add(-caBefore),
		NotAfter:       now.Add(leafLife),
		KeyUsage:       x509.KeyUsageDigitalSignature,
		ExtKeyUsage:    []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		AuthorityKeyId: ca.keyID,
	}
	if a, err := netip.ParseAddr(host); err == nil {
		t.IPAddresses = []net.IP{a.AsSlice()}
	} else {
		t.DNSNames = []string{host}
	}
	if len(host) <= 64 { // ub-common-name, RFC 5280 appendix A.1
		t.Subject.CommonName = host
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca.issued.Load().cert, ca.leafKey.Public(), ca.key)
	if err != nil {
		return nil, fmt.Errorf("sign a certificate for %q: %w", host, err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("read back a certificate for %q: %w", host, err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: ca.leafKey, Leaf: parsed}, nil
}
