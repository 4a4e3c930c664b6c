package oauth

import "time"

// SetLimit shortens how long one request may take.
func (f *Flows) SetLimit(d time.Duration) { f.limit = d }
