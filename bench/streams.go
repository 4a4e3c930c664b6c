package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// events64 measures how much later each server-sent event comes, over 1 and 64
// streams. Upstream and client read the same clock.
func (r *run) events64(ctx context.Context) error {
	for _, c := range []struct {
		streams, everyMillis int
		limit                float64
	}{{1, 5, 0.2}, {64, 50, 1}} {
		late := series{}
		rounds := min(3, r.rounds)
		for round := range rounds {
			err := r.round(round, []string{direct, own}, func(_ int, s *subject) error {
				delays, err := s.events(ctx, c.streams, r.scale.events, c.everyMillis)
				late.add(s.name, ms(median(delays)))
				return err
			})
			if err != nil {
				return err
			}
		}
		title := "server-sent events, 1 stream: added delay, p50"
		if c.streams > 1 {
			title = fmt.Sprintf("server-sent events, %d streams: added delay, p50", c.streams)
		}
		r.table.target(title, atMost(c.limit, "ms"), late.difference(own, direct))
	}
	return nil
}

// events reads streams to their ends.
func (s *subject) events(ctx context.Context, streams, n, everyMillis int) ([]time.Duration, error) {
	var mu sync.Mutex
	var all []time.Duration
	err := parallel(streams, func(int) error {
		request, err := s.request(ctx, "GET", near(fmt.Sprintf("/events?n=%d&every=%d", n, everyMillis)), nil)
		if err != nil {
			return err
		}
		response, err := s.pool(streams, false).RoundTrip(request)
		if err != nil {
			return err
		}
		defer func() { _ = response.Body.Close() }()
		var delays []time.Duration
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
			if !ok {
				continue
			}
			now := time.Now().UnixNano()
			sent, err := strconv.ParseInt(string(data), 10, 64)
			if err != nil {
				return err
			}
			delays = append(delays, time.Duration(now-sent))
		}
		if len(delays) != n {
			return fmt.Errorf("%s: %d of %d events came", s.name, len(delays), n)
		}
		s.asked.Add(1)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, delays...)
		return nil
	})
	return all, err
}

// http2 compares one HTTP/2 connection of 100 streams with as many HTTP/1.1
// connections, through the same proxy.
func (r *run) http2(ctx context.Context) error {
	const streams = 100
	rate := series{}
	for round := range r.rounds {
		err := r.round(round, []string{direct, own}, func(_ int, s *subject) error {
			for _, h2 := range []bool{round%2 == 0, round%2 != 0} {
				got, err := s.load(ctx, s.pool(streams, h2), streams, r.keepAlive, near(""), nil)
				if err != nil {
					return err
				}
				rate.add(fmt.Sprint(s.name, h2), got.rate())
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	r.table.compare(fmt.Sprintf("HTTP/2, %d streams: × HTTP/1.1, %d clients", streams, streams), map[string]string{
		direct: fmt.Sprintf("%.2f", rate.ratio(direct+"true", direct+"false")),
		own:    fmt.Sprintf("%.2f", rate.ratio(own+"true", own+"false")),
	})
	r.table.target(fmt.Sprintf("HTTP/2 client, %d streams", streams), atLeast(0.9, "× kb over HTTP/1.1"), rate.ratio(own+"true", own+"false"))
	return nil
}

// webSocket measures the way there and back of a small message.
func (r *run) webSocket(ctx context.Context) error {
	trip := series{}
	err := r.alternate([]string{direct, tunnel, own}, func(_ int, s *subject) error {
		d, err := s.echoes(ctx, r.scale.echoes)
		trip.add(s.name, ms(d))
		return err
	})
	if err != nil {
		return err
	}
	shown := map[string]string{}
	for _, n := range []string{direct, tunnel, own} {
		shown[n] = fmt.Sprintf("%.2f", trip.ratio(n, direct))
	}
	r.table.compare("WebSocket echo: p50, × direct's", shown)
	r.table.target("WebSocket echo: added, p50", atMost(0.2, "ms"), trip.difference(own, direct))
	return nil
}

func (s *subject) echoes(ctx context.Context, n int) (time.Duration, error) {
	c, response, err := websocket.Dial(ctx, near("/echo"), &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: s.transport(1, false)}, HTTPHeader: s.header(),
	})
	if err != nil {
		return 0, fmt.Errorf("%s: %w", s.name, err)
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return 0, errors.New(response.Status)
	}
	s.asked.Add(1)
	defer func() { _ = c.Close(websocket.StatusNormalClosure, "") }()
	message := []byte(`{"type":"response.output_text.delta","delta":"word"}`)
	trips := make([]time.Duration, n)
	for i := range trips {
		began := time.Now()
		if err := c.Write(ctx, websocket.MessageText, message); err != nil {
			return 0, err
		}
		if _, back, err := c.Read(ctx); err != nil || !bytes.Equal(back, message) {
			return 0, fmt.Errorf("%s: echo %q: %w", s.name, back, err)
		}
		trips[i] = time.Since(began)
	}
	return median(trips), nil
}
