package secretref

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// pick takes the reference's field out of a value that is JSON; without a field
// the value is it. A field is a key of the object, or with a leading slash a
// JSON pointer (RFC 6901).
func (p *reference) pick(data []byte) ([]byte, error) {
	if p.field == "" {
		return data, nil
	}
	var v any
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return nil, errors.New("the value is not JSON, so it has no field")
	}
	return fieldOf(v, p.field)
}

func fieldOf(v any, field string) ([]byte, error) {
	keys := []string{field}
	if rest, ok := strings.CutPrefix(field, "/"); ok {
		keys = strings.Split(rest, "/")
		unescape := strings.NewReplacer("~1", "/", "~0", "~")
		for i := range keys {
			keys[i] = unescape.Replace(keys[i])
		}
	}
	for _, key := range keys {
		object, _ := v.(map[string]any) // of anything else, none has a member
		var ok bool
		if v, ok = object[key]; !ok {
			return nil, fmt.Errorf("the value has no field %s", quote(field))
		}
	}
	switch v := v.(type) {
	case string:
		return []byte(v), nil
	case json.Number:
		return []byte(v.String()), nil
	case bool:
		return fmt.Append(nil, v), nil
	}
	return nil, fmt.Errorf("field %s is not one value", quote(field))
}
