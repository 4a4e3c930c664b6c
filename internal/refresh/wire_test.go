package refresh

import (
	"fmt"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kb/internal/secret"
	"kb/internal/state"
)

// fill gives each field that v has a value of its own.
func fill(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	switch x := v.Addr().Interface().(type) {
	case *secret.Value:
		*x = secret.New("secret of " + path + "\xff")
		return
	case *time.Time:
		*x = time.Date(2026, 11, 26, 9, 0, len(path), 7, time.UTC)
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(path)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(len(path)))
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(path))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(t, v.Index(i), fmt.Sprint(path, i))
		}
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{path: path}))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	default:
		t.Fatalf("%s is a %v", path, v.Kind())
	}
}

// Whatever a grant and a token may hold, the worker gets it.
func TestWorkerGetsTheWholeJob(t *testing.T) {
	s, err := state.Open(filepath.Join(t.TempDir(), "state"), [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	j := job{shared: "hash", had: true, made: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), refresh: secret.New("refresh\x80")}
	fill(t, reflect.ValueOf(&j.key).Elem(), "key")
	fill(t, reflect.ValueOf(&j.grant).Elem(), "grant")
	fill(t, reflect.ValueOf(&j.old).Elem(), "old")
	line, err := encodeJob(s, j)
	if err != nil {
		t.Fatal(err)
	}
	opened, got, err := decodeJob(line)
	if err != nil {
		t.Fatal(err)
	}
	if opened.Dir() != s.Dir() {
		t.Errorf("store %q", opened.Dir())
	}
	if diff := cmp.Diff(j, got, cmp.AllowUnexported(job{}), cmp.Transformer("reveal", func(v secret.Value) string { return v.Reveal() })); diff != "" {
		t.Error(diff)
	}
}
