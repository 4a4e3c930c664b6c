package main

import (
	"context"
	"fmt"
	"time"
)

// connections asks over a new connection each time, as curl, gh and git do.
func (r *run) connections(ctx context.Context) error {
	names := []string{direct, tunnel, reverse, peer, own}
	for _, far := range []bool{false, true} {
		title, address, n := "new connection each, 1 client: p50 ms", near(""), 4*r.far
		if far {
			title, address, n = fmt.Sprintf("new connection each, upstream %v away: p50 ms", farTrip), "https://"+farHost+"/v1/models", r.far
		}
		took := map[string][]time.Duration{}
		for i := range n {
			err := r.round(i, names, func(_ int, s *subject) error {
				d, err := s.once(ctx, address)
				took[s.name] = append(took[s.name], d)
				return err
			})
			if err != nil {
				return err
			}
		}
		shown := map[string]string{}
		for _, name := range names {
			shown[name] = fmt.Sprintf("%.1f", ms(median(took[name])))
		}
		r.table.compare(title, shown)
		if far {
			r.table.target(fmt.Sprintf("new connection, upstream %v away, p50", farTrip), atMost(25, "ms"), ms(median(took[own])))
		}
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// once asks over a connection of its own.
func (s *subject) once(ctx context.Context, address string) (time.Duration, error) {
	t := s.transport(1, false)
	t.DisableKeepAlives = true
	request, err := s.request(ctx, "GET", address, nil)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	_, err = s.do(t, request)
	return time.Since(began), err
}

// firstRequests asks hosts that the proxy has not seen: it makes a certificate
// and a connection for each.
func (r *run) firstRequests(ctx context.Context) error {
	names := []string{direct, peer, own}
	took := map[string][]time.Duration{}
	added := map[string][]time.Duration{}
	for i := range r.fresh {
		first := map[string]time.Duration{}
		err := r.round(i, names, func(_ int, s *subject) error {
			d, err := s.once(ctx, "https://"+newHost(i)+"/")
			first[s.name] = d
			return err
		})
		if err != nil {
			return err
		}
		for _, n := range names {
			took[n] = append(took[n], first[n])
			added[n] = append(added[n], first[n]-first[direct])
		}
	}
	shown := map[string]string{}
	for _, n := range names {
		shown[n] = fmt.Sprintf("%.1f", ms(median(took[n])))
	}
	r.table.compare("first request to a host: p50 ms", shown)
	r.table.target("first request to an intercepted host, over direct, p50", atMost(1.5, "ms"), ms(median(added[own])))
	return nil
}
