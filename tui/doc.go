// Package tui is the dashboard: kb on a terminal.
//
// # Shape
//
// One tea.Model ([Model]) owns the size, the open screen, the dialogs above it,
// the keys that work everywhere and the routing of messages. The eight screens
// and the dialogs are plain structs (see screen.go and dialog.go): a screen owns
// its keys, what they do, and how it is drawn. What all of them look at is the world
// (world.go): one copy of what the [Backend] told last, changed in Update alone.
//
// # Rules
//
// Update does no I/O. A command calls the backend, never touches the model, and
// returns one message that carries the number of its request: an answer that
// comes after a later one was asked for is dropped.
//
// What a key does is an action with a name ([binding]); the bar at the bottom, the
// menu of "?", the palette of ":", docs/keys.md and config.toml all speak of the
// same list. Enter never approves and never deletes. What cannot be undone asks
// first, says what will be, and means no.
//
// No secret is drawn. What a person types into a masked field is a secret.Value
// from the key on, and the field forgets it when it is handed over.
//
// Text that others wrote (hosts, paths, agents' names, errors of servers) is cleaned
// where it is drawn (draw.Clean), whoever cleaned it before.
package tui
