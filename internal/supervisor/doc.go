// Package supervisor starts an agent's process and stays with it: terminal,
// signals, orphans, exit code.
//
// It is handed a finished environment ([Spec].Env) and knows neither providers
// nor secrets.
//
// # Signals
//
// With a terminal, the child stays in kb's foreground process group, so the
// terminal's own signals (interrupt, quit, stop) reach it from the kernel. kb
// ignores the first two, stops and continues together with the child, and
// passes on only TERM, HUP, USR1 and USR2. Without a terminal the child has a
// process group of its own and kb passes every signal on, once; there the child
// is also told (TERM) when kb itself is killed.
//
// # Stop
//
// A child that is to stop ([Spec].Stop) gets TERM, with a terminal HUP a second
// later, and after 5 s KILL. What it left behind is not looked for.
//
// # Exit codes
//
// The child's own, 0 to 255; 128+n when signal n ended it; 126 for a command
// that cannot be executed and 127 for one that was not found, as in a shell.
package supervisor
