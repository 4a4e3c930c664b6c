package main

import (
	"context"
	"fmt"
	"time"
)

// bodies moves 1 MiB at a time.
func (r *run) bodies(ctx context.Context) error {
	const clients = 16
	names := []string{direct, tunnel, reverse, peer, own}
	for _, way := range []struct {
		title, address string
		upload         []byte
	}{{"1 MiB replies", near(fmt.Sprintf("/bytes?n=%d", len(mebibyte))), nil}, {"1 MiB uploads", near("/sink"), mebibyte}} {
		speed := series{}
		err := r.alternate(names, func(_ int, s *subject) error {
			got, err := s.load(ctx, s.pool(clients, false), clients, r.bodyTime, way.address, way.upload)
			speed.add(s.name, got.throughput())
			return err
		})
		if err != nil {
			return err
		}
		shown := map[string]string{}
		for _, n := range names {
			shown[n] = fmt.Sprintf("%.2f", speed.ratio(n, direct))
		}
		r.table.compare(fmt.Sprintf("%s, %d clients: × direct", way.title, clients), shown)
		r.table.target(fmt.Sprintf("%s, %d clients", way.title, clients), atLeast(0.9, "× net/http + ReverseProxy"), speed.ratio(own, reverse))
	}
	return nil
}

// hugeBodies moves one huge body each way through kb and watches its memory.
func (r *run) hugeBodies(ctx context.Context) error {
	s := r.subjects[own]
	for _, up := range []bool{false, true} {
		title := fmt.Sprintf("%d MiB down: growth of resident memory", r.huge>>20)
		request, err := s.request(ctx, "GET", near(fmt.Sprintf("/bytes?n=%d", r.huge)), nil)
		if up {
			title = fmt.Sprintf("%d MiB up: growth of resident memory", r.huge>>20)
			request, err = s.request(ctx, "POST", near("/sink"), &zeros{r.huge})
		}
		if err != nil {
			return err
		}
		if up {
			request.ContentLength = r.huge
		}
		before, err := s.proc.rss()
		if err != nil {
			return err
		}
		done := make(chan error, 1)
		go func() {
			n, err := s.do(s.pool(1, false), request)
			if err == nil && !up && n != r.huge {
				err = fmt.Errorf("%d bytes came", n)
			}
			done <- err
		}()
		most := before
		for running := true; running; {
			select {
			case err := <-done:
				if err != nil {
					return err
				}
				running = false
			case <-time.After(20 * time.Millisecond):
			}
			now, err := s.proc.rss()
			if err != nil {
				return err
			}
			most = max(most, now)
		}
		r.table.target(title, atMost(32, "MiB"), float64(most-before)/(1<<20))
	}
	return nil
}

// zeros is a body of n bytes.
type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	b := bodyReader{mebibyte[:min(z.left, int64(len(mebibyte)))]}
	n, err := b.Read(p)
	z.left -= int64(n)
	return n, err
}

// memory is what a session holds.
func (r *run) memory(context.Context) error {
	now, err := r.session.rss()
	if err != nil {
		return err
	}
	shown := map[string]string{direct: "–", own: fmt.Sprintf("%.0f", float64(now)/(1<<20))}
	for _, n := range []string{tunnel, reverse, peer} {
		b, err := r.subjects[n].proc.rss()
		if err != nil {
			return err
		}
		shown[n] = fmt.Sprintf("%.0f", float64(b)/(1<<20))
	}
	r.table.compare("resident memory after the load: MiB", shown)
	r.table.target("resident memory, idle session", atMost(20, "MiB"), float64(r.idle)/(1<<20))
	r.table.target("resident memory, after the load", atMost(40, "MiB"), float64(now)/(1<<20))
	return nil
}
