// Nexmark, query 11: each user's bids by session, with a gap of two seconds.
package main

import (
	"fmt"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/graph/window"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/transforms/stats"
)

func bidOf(bid event) (int, int) { return bid.Bidder, 1 }

func tellSession(w beam.Window, bidder, count int) string {
	session := w.(window.IntervalWindow)
	return fmt.Sprintf("%d %d %d %d", bidder, session.Start.Milliseconds(), session.End.Milliseconds(), count)
}

func init() {
	register.Function1x2(bidOf)
	register.Function3x1(tellSession)
	rows["nexmark_q11"] = func(s beam.Scope, task Task) beam.PCollection {
		bids := beam.ParDo(s, bidOf, beam.ParDo(s, &ofKind{"bid"}, lines(s, task)))
		return beam.ParDo(s, tellSession, stats.SumPerKey(s, beam.WindowInto(s, window.NewSessions(2*time.Second), bids)))
	}
}
