// Package archtest holds the shape of the repository as tests: who may import
// whom, who may reveal a secret, who may end the process, and the rules of the
// house that a compiler does not know.
//
// The table in floors_test.go is the picture of docs/architecture.md. A better
// picture is welcome: change both in one commit, and say why. The lists in
// secrets_test.go and house_test.go take a new line when its reason is good
// enough to be read aloud in a review.
//
// Every check is a function over what it is given, and is also run over a small
// bad example, so that none of them can pass by looking at nothing.
package archtest
