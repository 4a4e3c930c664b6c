package control

import "testing"

// BenchmarkServe is what a session's start pays for its socket.
func BenchmarkServe(b *testing.B) {
	dir := folder(b)
	f := newFake("00000001")
	for b.Loop() {
		s, err := Serve(b.Context(), ServeOptions{Dir: dir, ID: "00000001", Handler: f})
		if err != nil {
			b.Fatal(err)
		}
		s.Close()
	}
}

// BenchmarkStatus is a question and its answer, with the checks of both ends.
func BenchmarkStatus(b *testing.B) {
	dir := folder(b)
	serve(b, dir, "00000001")
	c, err := Dial(b.Context(), dir, "00000001")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := c.Status(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
