package main

import (
	"context"
	"fmt"
	"time"
)

// keepAlives asks for 1 KiB again and again over connections that stay.
func (r *run) keepAlives(ctx context.Context) error {
	names := []string{direct, tunnel, reverse, peer, own}
	for _, c := range []struct {
		clients   int
		ofDirect  float64
		cpuMicros float64 // 0: no target
	}{{1, 0.52, 80}, {16, 0.48, 36}, {64, 0.45, 0}} {
		rate, p50, p99, cpu := series{}, series{}, series{}, series{}
		for round := 0; len(rate[direct]) < r.rounds && round < r.rounds+r.extra; round++ {
			samples := map[string]sample{}
			err := r.round(round, names, func(_ int, s *subject) error {
				got, err := s.load(ctx, s.pool(c.clients, false), c.clients, r.keepAlive, near(""), nil)
				samples[s.name] = got
				return err
			})
			if err != nil {
				return err
			}
			if samples[tunnel].rate() < noise*samples[direct].rate() {
				r.table.discarded++
				continue
			}
			r.table.kept++
			for _, n := range names {
				s := samples[n]
				rate.add(n, s.rate())
				p50.add(n, float64(quantile(s.latency, 0.5)))
				p99.add(n, float64(quantile(s.latency, 0.99)))
				cpu.add(n, float64(s.cpu)/float64(max(1, s.requests)))
			}
		}
		title := fmt.Sprintf("keep-alive, %s", clientsOf(c.clients))
		if len(rate[direct]) == 0 {
			r.table.target(title, atLeast(c.ofDirect, "× direct"), nothing)
			continue
		}
		ratios := map[string]string{}
		for _, n := range names {
			ratios[n] = fmt.Sprintf("%.2f", rate.ratio(n, direct))
		}
		r.table.compare(title+": × direct", ratios)
		r.table.target(title, atLeast(c.ofDirect, "× direct"), rate.ratio(own, direct))
		r.table.target(title, atLeast(1.3, "× goproxy"), rate.ratio(own, peer))
		if c.clients == 1 {
			both := map[string]string{}
			for _, n := range names {
				both[n] = fmt.Sprintf("%.2f / %.2f", p50.ratio(n, direct), p99.ratio(n, direct))
			}
			r.table.compare(title+": p50 / p99, × direct's", both)
			r.table.target("p50, "+clientsOf(c.clients), atMost(1.2, "× blind tunnel"), p50.ratio(own, tunnel))
			r.table.target("p99, "+clientsOf(c.clients), atMost(1.3, "× blind tunnel"), p99.ratio(own, tunnel))
		}
		if c.cpuMicros > 0 {
			micros := map[string]string{direct: "–"}
			for _, n := range names[1:] {
				micros[n] = fmt.Sprintf("%.0f", cpu.median(n)/float64(time.Microsecond))
			}
			r.table.compare(fmt.Sprintf("proxy CPU µs a request, %s", clientsOf(c.clients)), micros)
			r.table.target("proxy CPU a request, "+clientsOf(c.clients), atMost(c.cpuMicros, "µs"), cpu.median(own)/float64(time.Microsecond))
		}
	}
	return nil
}

// noise: a round whose blind tunnel reaches less than this share of direct
// tells of the machine, not of the proxies.
const noise = 0.5

func clientsOf(n int) string {
	if n == 1 {
		return "1 client"
	}
	return fmt.Sprintf("%d clients", n)
}
