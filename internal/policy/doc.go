// Package policy decides what the sessions of a profile may ask with its
// logins.
//
// # Lines
//
// A policy is a list of lines ([Rule]). A line has an effect and conditions,
// which must all hold; one without conditions holds for every request of its
// profile.
//
//	allow   the request goes on
//	ask     it waits for a person
//	deny    it is refused
//	limit   at most so many requests a minute; a count beside the other three
//
// Of the lines that fit a request one decides: the one with more conditions;
// of two with as many the one whose path says more, then whose host, then
// whose repository; and where they say as much, the stricter: deny, ask, allow.
// What no line fits is allowed. Lines of effect limit take no part in that: each
// that fits counts.
//
// A request that makes a new credential (a mint) is the other way round:
// denied, unless the line that decides has the condition mint.
//
// # Readings
//
// Servers do not agree about what a request means: which method, when a field
// names another one; whether "%2F" is a slash, and case matters. So a request
// is judged in each of its readings, and the strictest verdict holds. A line
// that restricts fits in whatever case, behind a trailing slash or a ".json"; a
// line that allows fits what it says and nothing else.
//
// # What it leaves out
//
// Bodies. What an API reads out of them (GraphQL, git-lfs) is not known here.
// Patterns are parsed by the rooms that they come from ([Grammar]): paths as in
// provider definitions, repositories as in rules on remotes. There is no clock
// and nothing is remembered, but for a [Meter] that its owner keeps.
package policy
