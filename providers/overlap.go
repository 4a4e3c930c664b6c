package providers

// Overlap reports whether two definitions claim one host and path, and where:
// two live at once would make it a matter of luck which credential goes out.
// Hosts that still hold {host} are not compared.
func Overlap(a, b *Provider) (at string, both bool) {
	for i := range a.Inject {
		for j := range b.Inject {
			if host, ok := commonHost(&a.Inject[i], &b.Inject[j]); ok {
				if path, ok := commonPath(&a.Inject[i], &b.Inject[j]); ok {
					return host + path, true
				}
			}
		}
	}
	return "", false
}

func commonHost(a, b *Inject) (string, bool) {
	for _, x := range a.hosts {
		for _, y := range b.hosts {
			if !x.overlaps(y) {
				continue
			}
			if len(y.name) > len(x.name) {
				x = y
			}
			if x.suffix {
				return "*" + x.name, true
			}
			return x.name, true
		}
	}
	return "", false
}

func commonPath(a, b *Inject) (string, bool) {
	switch {
	case len(a.paths) == 0 && len(b.paths) == 0:
		return "", true
	case len(a.paths) == 0:
		return b.Paths[0], true
	case len(b.paths) == 0:
		return a.Paths[0], true
	}
	for i, x := range a.paths {
		for _, y := range b.paths {
			if intersect(x, y) {
				return a.Paths[i], true
			}
		}
	}
	return "", false
}

// intersect reports whether some path fits both globs: a walk over pairs of
// positions, each visited once.
func intersect(a, b glob) bool {
	seen := map[[2]int]bool{}
	var walk func(i, j int) bool
	walk = func(i, j int) bool {
		if i == len(a) && j == len(b) {
			return true
		}
		if seen[[2]int{i, j}] {
			return false
		}
		seen[[2]int{i, j}] = true
		manyA := i < len(a) && a[i].kind == segAny
		manyB := j < len(b) && b[j].kind == segAny
		if manyA && (walk(i+1, j) || j < len(b) && walk(i, j+1)) {
			return true
		}
		if manyB && (walk(i, j+1) || i < len(a) && walk(i+1, j)) {
			return true
		}
		return !manyA && !manyB && i < len(a) && j < len(b) && a[i].meets(b[j]) && walk(i+1, j+1)
	}
	return walk(0, 0)
}

// meets reports whether some segment fits both.
func (s segment) meets(t segment) bool {
	switch {
	case s.kind == segLiteral:
		return t.matches(s.text, false)
	case t.kind == segLiteral:
		return s.matches(t.text, false)
	}
	return wildsMeet(s.text, t.text)
}

// wildsMeet reports whether some text fits both wildcards. Stars swallow
// whatever the other one needs, so only the literal heads and tails can differ.
func wildsMeet(a, b string) bool {
	headA, tailA := ends(a)
	headB, tailB := ends(b)
	head := min(len(headA), len(headB))
	tail := min(len(tailA), len(tailB))
	return headA[:head] == headB[:head] && tailA[len(tailA)-tail:] == tailB[len(tailB)-tail:]
}

// ends is what stands before the first star and after the last.
func ends(pattern string) (head, tail string) {
	first, last := 0, 0
	for i := range len(pattern) {
		if pattern[i] == '*' {
			if first == 0 && (i == 0 || last == 0) {
				first = i
			}
			last = i + 1
		}
	}
	return pattern[:first], pattern[last:]
}
