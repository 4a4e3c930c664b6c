// Package draw makes lines of a terminal screen: text fitted to cells, panels,
// tables, meters. It knows nothing of kb.
//
// # Lines
//
// What it returns are lines that are exactly as wide as was asked for, counted in
// display cells (Unicode Standard Annex #11, by way of x/ansi) and never in bytes:
// a column stays straight under wide and combining characters. Text that comes
// in is plain: [Clean] has taken the control characters from it. Colour is put
// on last, by a [Theme], so that a cut never splits an escape sequence.
//
// # Colour
//
// A [Role] says what a text is, a theme what that looks like, on ANSI colours 0
// to 15, which are the terminal's own. No meaning is in a colour alone: a state is
// a mark and a word.
package draw
