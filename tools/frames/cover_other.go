//go:build !linux

package main

import "errors"

func cover() error { return errors.New("frames are drawn on Linux, whose /home can be covered") }
