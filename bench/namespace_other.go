//go:build !linux

package main

import (
	"context"
	"errors"
	"fmt"
)

var errNamespace = errors.New("no namespace")

func enter(context.Context, string, []string) error {
	return fmt.Errorf("%w: only Linux has namespaces", errNamespace)
}

func setUp(string, []string) error { return errNamespace }
