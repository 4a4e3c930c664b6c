package profile

import "strings"

// stripCredentials takes the userinfo's password, or the whole userinfo of a
// web URL, out of a remote, and its query: what may be shown.
func stripCredentials(remote string) string {
	scheme, rest, ok := cutScheme(remote)
	if !ok {
		if helper, address, ok := cutHelper(remote); ok {
			return helper + "::" + stripCredentials(address)
		}
		return remote // scp-like: a user name at most
	}
	rest, _, _ = strings.Cut(rest, "?")
	rest, _, _ = strings.Cut(rest, "#")
	end := strings.IndexByte(rest, '/')
	if end < 0 {
		end = len(rest)
	}
	user, host, ok := cutLast(rest[:end], "@")
	if !ok {
		return scheme + "://" + rest
	}
	if name, _, hasPassword := strings.Cut(user, ":"); strings.Contains(strings.ToLower(scheme), "ssh") {
		if !hasPassword {
			name = user
		}
		return scheme + "://" + name + "@" + host + rest[end:]
	}
	return scheme + "://" + host + rest[end:]
}

// userinfo is the part of a URL before the host that may hold credentials, as
// written, if it holds more than the name of an ssh user.
func userinfo(remote string) string {
	scheme, rest, ok := cutScheme(remote)
	if !ok {
		return ""
	}
	authority, _, _ := strings.Cut(rest, "/")
	user, _, _ := cutLast(authority, "@")
	if strings.Contains(strings.ToLower(scheme), "ssh") && !strings.Contains(user, ":") {
		return ""
	}
	return user
}
