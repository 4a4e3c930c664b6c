package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// greeting is the line by which a process of the benchmark says that it
// listens, and where.
type greeting struct {
	Proxy  string `json:"proxy"`
	Bundle string `json:"bundle"` // file of the roots that its clients trust; "" for the world's own
}

func ready(proxy string) { greet(greeting{Proxy: proxy}) }

func greet(g greeting) {
	b, _ := json.Marshal(g) // two strings always marshal
	_, _ = os.Stdout.Write(append(b, '\n'))
}

// hold waits for the end of standard input, which whoever started this process
// keeps open.
func hold() error {
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// process is an upstream, a proxy, or a kb session.
type process struct {
	name     string
	greeting greeting
	cmd      *exec.Cmd
	stdin    io.WriteCloser
	stderr   bytes.Buffer
}

// start starts a program that greets.
func start(ctx context.Context, name, dir string, environ, args []string) (*process, error) {
	p := &process{name: name, cmd: exec.CommandContext(ctx, args[0], args[1:]...)}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stderr = dir, environ, &p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &p.greeting)
	}
	if err != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		return nil, fmt.Errorf("start %s: %w: %s", name, err, strings.TrimSpace(p.stderr.String()))
	}
	return p, nil
}

// role starts this program in another role.
func role(ctx context.Context, dir, name string) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return start(ctx, name, "", os.Environ(), []string{self, "-role", name, "-dir", dir})
}

// end lets a session end in good order: its child sees the end of its input.
func (p *process) end() error {
	_ = p.stdin.Close()
	if err := p.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", p.name, err, strings.TrimSpace(p.stderr.String()))
	}
	return nil
}

func (p *process) url() *url.URL {
	u, err := url.Parse(p.greeting.Proxy)
	if err != nil {
		panic(err) // our own greeting, or kb's environment
	}
	return u
}

// tick is the unit of the times in /proc/PID/stat: USER_HZ, 100 a second on
// every architecture that kb is built for (proc_pid_stat(5)).
const tick = 10 * time.Millisecond

// cpu is the processor time that the process has used, in user space and in
// the kernel. Its grain is one tick.
func (p *process) cpu() (time.Duration, error) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "stat"))
	if err != nil {
		return 0, err
	}
	// The program's name is in parentheses and may hold any character.
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0, errors.New("read /proc/PID/stat: too few fields")
	}
	var total time.Duration
	for _, f := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		total += time.Duration(n) * tick
	}
	return total, nil
}

// rss is the process's resident memory, in bytes.
func (p *process) rss() (int64, error) {
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return n << 10, err
		}
	}
	return 0, errors.New("read /proc/PID/status: no VmRSS")
}
