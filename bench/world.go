package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// The names that are asked for. The first two are providers' real ones, so
// that kb serves them by the definitions that ship; the third stands for a
// service of the user's own, with as many hosts as a run needs.
const (
	nearHost = "api.github.com" // upstream on this machine
	farHost  = "api.openai.com" // the same upstream, a round trip of farTrip away
	newHosts = "service.acme.example"

	// nearPath names a repository, which kb looks up among the vault's rules:
	// its longest way through a decision.
	nearPath = "/repos/acme/api/issues"

	nearAddr = "203.0.113.10"
	farAddr  = "203.0.113.20"

	// hostCount is how many hosts of newHosts have a name; each is asked once.
	hostCount = 60

	// farTrip is the round trip to farHost.
	farTrip = 20 * time.Millisecond
)

// bundles is where Go programs look for the system's roots on Linux
// (crypto/x509 root_linux.go). Those that exist are replaced inside.
var bundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/pki/tls/cacert.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/ssl/cert.pem",
}

// token is the credential of every login. The upstream refuses a request
// without it, so that a proxy which injects nothing cannot look fast.
const token = "ghp_benchmarkbenchmarkbenchmarkbenchmark"

func newHost(i int) string { return fmt.Sprintf("h%03d.%s", i, newHosts) }

// writeWorld makes what stands in /etc inside, and the certificate authority
// of the upstream and of the proxies that kb is compared with.
func writeWorld(dir string) error {
	var hosts strings.Builder
	hosts.WriteString("127.0.0.1 localhost\n::1 localhost\n")
	fmt.Fprintf(&hosts, "%s %s\n%s %s\n", nearAddr, nearHost, farAddr, farHost)
	for i := range hostCount {
		fmt.Fprintf(&hosts, "%s %s\n", nearAddr, newHost(i))
	}
	ca, err := newCA()
	if err != nil {
		return err
	}
	key, err := x509.MarshalECPrivateKey(ca.key.(*ecdsa.PrivateKey))
	if err != nil {
		return err
	}
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
	// The machine's own roots stay: kb copies them for each session, which is
	// part of what its start costs.
	roots := own
	for _, b := range bundles {
		if machine, err := os.ReadFile(b); err == nil {
			roots = append(append(machine, '\n'), own...)
			break
		}
	}
	for name, content := range map[string][]byte{
		"hosts":       []byte(hosts.String()),
		"resolv.conf": []byte("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"),
		"roots.pem":   roots,
		"ca.pem":      own,
		"ca.key":      pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: key}),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// authority signs for the upstream, and for the interceptors beside kb.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer

	leaf   *ecdsa.PrivateKey
	leaves sync.Map // host -> *tls.Certificate
}

func newCA() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kb benchmark"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert: cert, key: key}, nil
}

// readCA reads what writeWorld made.
func readCA(dir string) (*authority, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca.key"))
	if err != nil {
		return nil, err
	}
	signer, ok := pair.PrivateKey.(crypto.Signer)
	if !ok {
		return nil, errors.New("read ca: no signer")
	}
	leaf, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return &authority{cert: pair.Leaf, key: signer, leaf: leaf}, nil
}

func (a *authority) pair() *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{a.cert.Raw}, PrivateKey: a.key, Leaf: a.cert}
}

// certificate returns the leaf of a name, made once.
func (a *authority) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := hello.ServerName
	if c, ok := a.leaves.Load(name); ok {
		return c.(*tls.Certificate), nil
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, a.leaf.Public(), a.key)
	if err != nil {
		return nil, err
	}
	c, _ := a.leaves.LoadOrStore(name, &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.leaf})
	return c.(*tls.Certificate), nil
}
