// Package charmquiet keeps bubbletea from asking the terminal for its background
// colour whenever any kb starts.
//
// bubbletea v1 does that in its package initialiser (tea_init.go), before main: it
// would write two queries to the terminal of each kb exec, wait for the answers,
// and read what a person types meanwhile. The question is not asked once the
// answer is set, and this package sets it.
//
// It must be initialised before bubbletea. Go initialises packages in the order
// of their import paths, as far as their imports allow (Go specification,
// "Package initialization", since 1.21). "charmquiet" comes before
// "github.com/…", a package inside kb would not: so this is a module of its own,
// of this one name, that kb's go.mod replaces by this folder. A test of cmd/kb looks at
// what a kb writes to a terminal.
//
// The move to bubbletea v2, which has no such initialiser, removes it.
package charmquiet

import "github.com/charmbracelet/lipgloss"

func init() { lipgloss.SetHasDarkBackground(true) }
