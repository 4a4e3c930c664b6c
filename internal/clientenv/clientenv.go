// Package clientenv holds what kb puts into the environment of clients that
// variables alone do not reach.
//
// # Node
//
// Node obeys HTTPS_PROXY when NODE_USE_ENV_PROXY=1 is set, since 22.21 and
// 24.5 (https://nodejs.org/api/http.html#built-in-proxy-support), and even
// there only in fetch and in its global agent: a client that makes an
// https.Agent of its own, as stripe and the AWS SDK do, goes past the proxy.
// [Preload] is a script for NODE_OPTIONS=--require that closes both gaps, for
// every Node from 18 on. It uses Node's own support where there is some.
//
// # What it leaves out
//
// Sockets that a program opens by itself (the ws package, http2, tls.connect)
// are not caught, and plain http is left alone on a Node without proxy support:
// no credential travels there.
package clientenv

import _ "embed"

// Preload is preload.cjs, to be written to a file that NODE_OPTIONS requires.
// It reads HTTPS_PROXY and NO_PROXY, prints nothing, and does nothing where
// HTTPS_PROXY is not set.
//
//go:embed preload.cjs
var Preload []byte
