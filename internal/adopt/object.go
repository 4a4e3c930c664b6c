package adopt

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// longAgo is a time in the past, in Unix milliseconds. Programs take 0 for no
// time at all.
const longAgo = 1

// object is a JSON object whose unknown members stay as they are, in their
// order.
type object struct {
	names  []string
	values map[string]json.RawMessage
}

func parseObject(raw []byte) (*object, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, ErrUnreadable
	}
	o := &object{values: map[string]json.RawMessage{}}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, ErrUnreadable
		}
		name, _ := t.(string)
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return nil, ErrUnreadable
		}
		if _, twice := o.values[name]; twice {
			return nil, fmt.Errorf("%w: a member is there twice", ErrUnreadable)
		}
		o.names = append(o.names, name)
		o.values[name] = value
	}
	return o, nil
}

// set replaces a member, or adds it.
func (o *object) set(name string, value any) error {
	raw, ok := value.(json.RawMessage)
	if !ok {
		var err error
		if raw, err = json.Marshal(value); err != nil {
			return err
		}
	}
	if _, there := o.values[name]; !there {
		o.names = append(o.names, name)
	}
	o.values[name] = raw
	return nil
}

func (o *object) bytes() (json.RawMessage, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, name := range o.names {
		if i > 0 {
			b.WriteByte(',')
		}
		quoted, err := json.Marshal(name)
		if err != nil {
			return nil, err
		}
		b.Write(quoted)
		b.WriteByte(':')
		b.Write(o.values[name])
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// edited is a file in which change has changed the object at a member, or the
// whole of it where member is empty. All else stays, also how it is laid out.
func edited(file []byte, member string, change func(*object) error) ([]byte, error) {
	whole, err := parseObject(file)
	if err != nil {
		return nil, err
	}
	at := whole
	if member != "" {
		if at, err = parseObject(whole.values[member]); err != nil {
			return nil, err
		}
	}
	if err := change(at); err != nil {
		return nil, err
	}
	raw, err := at.bytes()
	if err == nil && at != whole {
		if err = whole.set(member, raw); err == nil {
			raw, err = whole.bytes()
		}
	}
	if err != nil {
		return nil, err
	}
	return like(raw, file)
}

// setAll replaces members with strings and numbers.
func (o *object) setAll(members map[string]any) error {
	for _, name := range slices.Sorted(maps.Keys(members)) {
		if err := o.set(name, members[name]); err != nil {
			return err
		}
	}
	return nil
}

// like lays raw out as the file before it: on one line, or indented by two.
func like(raw json.RawMessage, before []byte) ([]byte, error) {
	if !bytes.Contains(bytes.TrimSpace(before), []byte("\n")) {
		return raw, nil
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
