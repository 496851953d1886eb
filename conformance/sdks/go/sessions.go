// WindowInto with sessions: each word's own, with a gap of twenty seconds.
package main

import (
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/window"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/transforms/stats"
)

const gap = 20 * time.Second

func init() {
	rows["sessions"] = func(s beam.Scope, task Task) beam.PCollection {
		pairs := beam.ParDo(s, one, beam.ParDo(s, said, lines(s, task)))
		return beam.ParDo(s, &tellWindow{}, stats.SumPerKey(s, beam.WindowInto(s, window.NewSessions(gap), pairs)))
	}
}
