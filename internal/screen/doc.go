// Package screen runs a program on a real terminal, and shows what a person
// would see: the program gets a pane of a tmux server of its own, keys are
// typed there, and frames are what tmux has on the screen.
//
//	s := screen.Start(t, screen.Options{Args: []string{kb}, Env: home.Env, Width: 100, Height: 30})
//	s.WaitFor("Home")
//	s.Send("?")
//	s.WaitFor("approve once")
//	s.Send("C-c")
//	s.Restored(0)
//
// [Start] is for tests: it skips where tmux is missing, fails the test on an
// error, and ends its server with the test. [Open] is for programs that draw
// or measure the same, and returns errors.
//
// # The server
//
// Each terminal has a tmux server with a socket in a folder of its own, reads
// no configuration of the user's, and is ended by [Terminal.Close]; no other
// server is touched. The package speaks to it as a control client (CONTROL MODE in
// tmux(1)): one process for all commands, which is told of each output, so that
// waiting costs nothing and ends at once.
//
// The pane's own process is a shell that notes the terminal's settings, starts
// the program, and notes its exit code and the settings again. It stays, so that
// the screen can be looked at after the end.
//
// # What it leaves out
//
// tmux is one terminal of many: what it does not know (images, most mouse
// protocols' corners) is not seen here. It repaints the screen that it has, not
// the bytes that came, so that flicker is invisible.
package screen
