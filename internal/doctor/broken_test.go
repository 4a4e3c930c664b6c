package doctor

import (
	"context"
	"strings"
	"testing"
)

func TestACheckThatPanicsIsAFinding(t *testing.T) {
	t.Parallel()
	c := Check{"vault", func(context.Context, *Options) Result { panic("kbCanary") }}
	if r := c.look(t.Context(), &Options{}); r.State != Failed || !strings.Contains(r.Line, "fault of kb") || strings.Contains(r.Line, "kbCanary") {
		t.Errorf("found %+v", r)
	}
	c.run = func(context.Context, *Options) Result { return good("well") }
	if r := c.look(t.Context(), &Options{}); r.State != OK || r.Line != "well" {
		t.Errorf("found %+v", r)
	}
}
