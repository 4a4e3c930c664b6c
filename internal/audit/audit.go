// Package audit is the record of who used which credential where: append-only
// files of JSON lines, one file and one hash chain per session.
package audit

import "time"

// Event is one line. Two lines tell of a request: an intent, written before
// the first upstream byte, and an outcome after it, joined by Request.
type Event struct {
	Time     time.Time `json:"time"`
	Session  string    `json:"session"`
	Request  uint64    `json:"request,omitempty"`
	Phase    string    `json:"phase"` // "intent", "outcome", "refused", "start", "stop", "tunnel", "note"
	Profile  string    `json:"profile,omitempty"`
	Provider string    `json:"provider,omitempty"`
	Login    string    `json:"login,omitempty"`  // account or --as name
	Action   string    `json:"action,omitempty"` // inject, pass, deny, tunnel, mint, ...
	Reason   string    `json:"reason,omitempty"`
	Method   string    `json:"method,omitempty"`
	Host     string    `json:"host,omitempty"`
	Port     uint16    `json:"port,omitempty"`
	Path     string    `json:"path,omitempty"` // as the client sent it, without the query; secret segments as *
	Status   int       `json:"status,omitempty"`
	Sent     int64     `json:"sent,omitempty"`     // bytes
	Received int64     `json:"received,omitempty"` // bytes
	Millis   float64   `json:"ms,omitempty"`
	Error    string    `json:"error,omitempty"`
	Detail   string    `json:"detail,omitempty"` // start: the command's base name, directory
}
