// Package audit is the record of who used which credential where: append-only
// files of JSON lines, one chain per session.
//
// # Writing
//
// [Create] opens a session's file and writes its "start" line; [Log.Append]
// adds a line and returns when the kernel has it, by one write(2), so that a
// line survives kill -9 though not a power cut. Once a second, and at
// [Log.Close], the file is fsynced and its number of lines and last MAC are
// sealed into the device's state through an [Index]. After a failed write a
// Log refuses every further line: the callers refuse the requests.
//
// # The chain
//
// A line is one JSON object whose last member is "mac", in unpadded base64url:
//
//	mac[n] = HMAC-SHA-256(key, mac[n-1] || line[n] up to `,"mac":`)
//	mac[0] = HMAC-SHA-256(key, "kb audit 1 file" NUL session NUL part NUL last)
//
// with this device's audit key, the part's number in decimal, and as last the
// 32 bytes of the previous part's last MAC, zeros for part 1. The first line of
// a file also has "format", and from part 2 on "part" and "prev", which is
// last. An edit, swap, removal or insertion breaks the chain; a cut tail or a
// removed file shows against the sealed count. [Verify] tells which line is the
// first that is wrong.
//
// # Files
//
// DIR/STARTED-SESSION.jsonl, mode 0600 in a directory of mode 0700; STARTED is
// UTC as 20061102T150405Z. A file that has reached its bound is followed by
// STARTED-SESSION.0002.jsonl and so on, chained to it. The writer holds a lock
// (flock) on the file that it writes, which is how [Prune] knows that a session
// runs.
//
// # What it leaves out
//
// It is evidence, not prevention: a process of the same user can delete the
// files, and is found out. What a killed session wrote in its last second,
// after the last seal, can be cut off unseen. Nobody but the device can check
// the chain: the key is symmetric and stays in the device's encrypted state.
package audit

import "time"

// Phases of a line.
const (
	PhaseStart    = "start"    // a session begins; Detail has the command's base name and directory
	PhaseContinue = "continue" // first line of a successor file
	PhaseIntent   = "intent"   // written before the first upstream byte of a request
	PhaseOutcome  = "outcome"  // the same request has ended
	PhaseAsk      = "ask"      // a request waits for a person; an intent or a refusal of the same Request follows
	PhaseRefused  = "refused"  // kb refused a request or a connection
	PhaseTunnel   = "tunnel"   // an unread tunnel
	PhaseNote     = "note"     // anything else worth recording
	PhaseStop     = "stop"     // the session ended in good order
)

// ActionDeny is the action of what policy or the proxy refused.
const ActionDeny = "deny"

// Event is one line. Two lines tell of a request: an intent, written before
// the first upstream byte, and an outcome after it, joined by Request.
//
// The JSON names are a contract: the files, kb audit --json and the dashboard
// use them. Text in it is cleaned (kb/internal/plain) and bounded to
// [MaxField] bytes a field when it is written.
type Event struct {
	Seq      uint64    `json:"seq,omitempty"` // line number in the session, from 1; set by the Log
	Time     time.Time `json:"time"`          // set by the Log where zero; microseconds, UTC
	Session  string    `json:"session"`       // set by the Log
	Request  uint64    `json:"request,omitempty"`
	Phase    string    `json:"phase"` // one of the Phase constants
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
	Millis   float64   `json:"ms,omitempty"`       // written to a microsecond
	Error    string    `json:"error,omitempty"`
	Detail   string    `json:"detail,omitempty"` // start: the command's base name, directory
}

// Denied reports whether the event tells of a refusal.
func (e *Event) Denied() bool { return e.Phase == PhaseRefused || e.Action == ActionDeny }
