package demo

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"
)

// network is the Internet of the demo: names on documentation addresses (RFC
// 5737) that lead to listeners on loopback, and an authority that certifies
// them. It implements proxy.Resolver.
type network struct {
	roots   *x509.CertPool
	bundle  []byte // the authority as PEM
	origins map[string]*origin
}

// origin is one TLS server.
type origin struct {
	addr     netip.Addr
	listener net.Listener
	server   *http.Server
}

// firstAddress is where the demo's names are: 203.0.113.0/24 is TEST-NET-3,
// which nobody on the Internet has.
var firstAddress = netip.AddrFrom4([4]byte{203, 0, 113, 10})

// certificateLife covers a demo, and a clock that was set meanwhile.
const certificateLife = time.Hour

// newNetwork starts a TLS server for each name.
func newNetwork(ctx context.Context, handlers map[string]http.Handler) (*network, error) {
	authority, err := newAuthority()
	if err != nil {
		return nil, fmt.Errorf("certify the demo's forge: %w", err)
	}
	n := &network{roots: x509.NewCertPool(), origins: map[string]*origin{}}
	n.roots.AddCert(authority.cert)
	n.bundle = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.cert.Raw})
	addr := firstAddress
	for _, name := range slices.Sorted(maps.Keys(handlers)) {
		certificate, err := authority.certify(name)
		if err != nil {
			n.Close()
			return nil, fmt.Errorf("certify %q: %w", name, err)
		}
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp4", "127.0.0.1:0")
		if err != nil {
			n.Close()
			return nil, fmt.Errorf("listen as %q: %w", name, err)
		}
		o := &origin{addr: addr, listener: listener, server: &http.Server{
			Handler:           handlers[name],
			TLSConfig:         &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
			ReadHeaderTimeout: limit,
			ErrorLog:          log.New(io.Discard, "", 0), // what fails there fails at a child too, which says so
		}}
		n.origins[name] = o
		addr = addr.Next()
		go func() { _ = o.server.ServeTLS(o.listener, "", "") }() // ends with Close
	}
	return n, nil
}

// Close ends the servers with all their connections.
func (n *network) Close() {
	for _, o := range n.origins {
		_ = o.server.Close()
		_ = o.listener.Close()
	}
}

// LookupNetIP implements proxy.Resolver: no name but the demo's own exists.
func (n *network) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	o, ok := n.origins[host]
	if !ok {
		return nil, &net.DNSError{Err: "no such host in the demo", Name: host, IsNotFound: true}
	}
	return []netip.Addr{o.addr}, nil
}

// errElsewhere says that something asked for an address outside the demo.
var errElsewhere = errors.New("the demo has no network but its own")

// Dial leads an address of the demo to its listener.
func (n *network) Dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	for _, o := range n.origins {
		if addr == netip.AddrPortFrom(o.addr, 443) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp4", o.listener.Addr().String())
		}
	}
	return nil, fmt.Errorf("dial %s: %w", addr, errElsewhere)
}

// authority is a certificate authority that lives as long as the demo.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	next int64
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "kb demo"},
		NotBefore:             time.Now().Add(-certificateLife),
		NotAfter:              time.Now().Add(certificateLife),
		KeyUsage:              x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{cert: cert, key: key, next: 2}, err
}

// certify makes a server certificate for one name.
func (a *authority) certify(name string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.next),
		Subject:      pkix.Name{CommonName: name},
		DNSNames:     []string{name},
		NotBefore:    a.cert.NotBefore,
		NotAfter:     a.cert.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	a.next++
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
