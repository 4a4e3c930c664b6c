package broker

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"kb/internal/atomicfile"
	"kb/internal/clientenv"
)

// systemBundles are where Linux distributions and macOS keep the roots as one
// file; the list and its order are those of Go's crypto/x509 (root_linux.go).
var systemBundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/pki/tls/cacert.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/ssl/cert.pem",
}

// systemRoots reads the system's roots as PEM. A machine without any gives
// nothing: its clients then trust the session's CA alone.
func systemRoots() ([]byte, error) {
	for _, path := range systemBundles {
		pem, err := os.ReadFile(path)
		if err == nil {
			return pem, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("read system roots %q: %w", path, err)
		}
	}
	return nil, nil
}

// sessionFile is a file of the session's folder.
type sessionFile struct {
	path string
	data []byte
}

// writeFiles makes the session's folder: all that its child may see of kb.
func (s *Session) writeFiles(roots []byte) error {
	dir := filepath.Join(s.broker.paths.Runtime, "s-"+s.ID)
	if err := makePrivateDir(s.broker.paths.Runtime); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("make session folder: %w", err)
	}
	s.files = sessionFiles{
		dir:     dir,
		bundle:  filepath.Join(dir, "bundle.pem"),
		ca:      filepath.Join(dir, "ca.pem"),
		preload: filepath.Join(dir, "preload.cjs"),
	}
	ca := s.ca.CertPEM()
	if len(roots) > 0 && roots[len(roots)-1] != '\n' {
		roots = append(roots, '\n')
	}
	files := []sessionFile{
		{s.files.bundle, append(roots[:len(roots):len(roots)], ca...)},
		{s.files.ca, ca},
		{s.files.preload, clientenv.Preload},
	}
	s.files.php = filepath.Join(dir, "php")
	if err := os.Mkdir(s.files.php, 0o700); err != nil {
		return fmt.Errorf("make php folder: %w", err)
	}
	files = append(files, sessionFile{filepath.Join(s.files.php, "kb.ini"), fmt.Appendf(nil, "curl.cainfo=%q\nopenssl.cafile=%q\n", s.files.bundle, s.files.bundle)})
	if hosts := s.ghHosts(); hosts != nil {
		s.files.gh = filepath.Join(dir, "gh")
		if err := os.Mkdir(s.files.gh, 0o700); err != nil {
			return fmt.Errorf("make gh folder: %w", err)
		}
		files = append(files, sessionFile{filepath.Join(s.files.gh, "hosts.yml"), hosts})
	}
	for _, f := range files {
		if err := os.WriteFile(f.path, f.data, 0o600); err != nil {
			return fmt.Errorf("write session file: %w", err)
		}
	}
	return nil
}

// replaceCertificates writes both certificate files anew: whole, never
// appended, for a client may be reading them.
func (s *Session) replaceCertificates() error {
	bundle, err := os.ReadFile(s.files.bundle)
	if err != nil {
		return fmt.Errorf("read session bundle: %w", err)
	}
	ca := s.ca.CertPEM()
	if i := bytes.LastIndex(bundle, []byte("-----BEGIN CERTIFICATE-----")); i >= 0 {
		bundle = append(bundle[:i:i], ca...)
	}
	if err := atomicfile.Write(s.files.bundle, bundle, atomicfile.Options{}); err != nil {
		return err
	}
	return atomicfile.Write(s.files.ca, ca, atomicfile.Options{})
}

// ghHosts is a hosts.yml of gh that holds a placeholder: agents' harnesses
// strip variables named *TOKEN*, and gh refuses to start without a token.
func (s *Session) ghHosts() []byte {
	for _, e := range s.placeholders.entries {
		if e.key == (loginKey{profile: s.own, provider: "github"}) {
			return fmt.Appendf(nil, "github.com:\n    oauth_token: %s\n    user: kb\n    git_protocol: https\n", e.value)
		}
	}
	return nil
}
